"""What all tasks over running text share: protocols, windows, training in blocks, and the rows for the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import field_validator

from harness.errors import DataError, Unsupported
from harness.fields import identity, later
from harness.needs import ModelFacts
from harness.records.schema import Metric
from harness.tasks.base import Head, TaskContext, TrainingSet
from harness.tasks.batches import first_token, padding_collator
from harness.tasks.benchmark import BenchmarkTask, metric
from harness.tasks.perplexity import readings, windows
from harness.tasks.perplexity.documents import Document, as_they_are
from harness.tasks.perplexity.losses import summed_losses
from harness.tasks.perplexity.readings import Number, Reading
from harness.tasks.rows.source import Rows

if TYPE_CHECKING:
    from harness.tasks.statistics import Array

Protocol: TypeAlias = Literal["gptq", "lm-eval", "strided"]
WINDOW = 2048  # tokens; GPTQ's model.seqlen, and lm-eval's where the model has no longest input
TELLING = 10  # words: lines of fewer ("He was born in 1950 .") are the same in texts that have nothing to do with each other


class PerplexityTask(BenchmarkTask):
    """Perplexity of one split's text, for decoders. A subclass says which rows, and how they make a text."""

    train_split: str = identity("train", description="split that is trained on: train, or the name of a local file")
    max_eval_samples: int | None = identity(None, ge=1, description="evaluate on the first this many windows, under lm-eval documents")
    max_train_samples: int | None = identity(None, ge=1, description="train on this many blocks of max_length tokens, drawn by the seed")
    protocols: tuple[Protocol, ...] = later(("gptq",), min_length=1, description="how the text is read, one or several of gptq, lm-eval, strided")
    window: int | None = later(None, ge=2, description="tokens that the model reads at once; null: gptq and strided 2048, lm-eval all that the model can, and none more than it can")
    stride: int | None = later(None, ge=1, description="strided: tokens from one window's begin to the next's; null: half a window")

    @field_validator("protocols")
    @classmethod
    def _each_protocol_once(cls, protocols: tuple[Protocol, ...]) -> tuple[Protocol, ...]:
        twice = sorted({name for name in protocols if protocols.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is listed twice; list each protocol once")
        return protocols

    def training_split(self) -> str:
        return self.train_split

    def head(self, model: ModelFacts) -> Head:
        return Head("causal-lm")

    def text_name(self) -> str:
        """What the text is called in protocol ids."""
        return self.task

    def between(self, split: str) -> str:
        """What stands between a split's rows, which are read as one text."""
        return "\n\n"

    def evaluated(self, rows: Rows) -> Rows:
        """Those of the evaluated split's rows that are evaluated."""
        return rows

    def documents(self, texts: list[str]) -> list[Document]:
        """What lm-eval's protocol scores one by one, of the evaluated split's rows."""
        return as_they_are(texts)

    def evaluated_tokens(self, texts: list[str], length: int, context: TaskContext) -> Array:
        """The tokens that windows of `length` are cut from: the rows joined and tokenized as one text. Raises DataError."""
        (split,) = self.evaluation_splits()
        return tokens_of(self.between(split).join(texts), context)

    def training_tokens(self, texts: list[str], context: TaskContext) -> Array:
        """The tokens that blocks to train on are cut from."""
        return tokens_of(self.between(self.train_split).join(texts), context)

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if model is None:
            return super().unsupported(model, trains)
        if model.kind == "encoder":
            return "perplexity needs a model that predicts the next token; an encoder sees both sides of it"
        if model.kind == "encoder-decoder":
            return "perplexity over running text is defined for decoders; an encoder-decoder has no input to encode here"
        return self._wrong_lengths(model) or super().unsupported(model, trains)

    def training_set(self, context: TaskContext) -> TrainingSet:
        """Blocks of max_length tokens of the training text, or the dev blocks; labels are the input. The rest is dropped."""
        texts = self._texts(self.training_rows(context))
        blocks = windows.blocks(self.training_tokens(texts, context), context.max_length, f"{self.task}: the training split {self.train_split}")
        carved = self.carved(len(blocks), context)
        if carved.dev:
            context.used.see("dev", self.task, self.train_split, {"input_ids": blocks[carved.dev].tolist()}, [""] * len(carved.dev))
        chosen = carved.dev if context.dev else carved.training
        rows = [{"input_ids": blocks[index], "labels": blocks[index]} for index in chosen]
        return TrainingSet(rows, padding_collator(context))

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        if reason := self._wrong_lengths(context.model):
            raise Unsupported(reason)
        (split,) = self.evaluation_splits()
        texts = self._texts(self.evaluation_rows(split, context))
        found = self._readings(texts, split, context)
        losses = iter(summed_losses(model, [window for reading in found for item in reading.items for window in item], context))
        metrics: list[Metric] = []
        for reading in found:
            totals = [sum(next(losses) for _ in item) for item in reading.items]
            metrics += [_metric(number, totals, split, context) for number in reading.numbers]
        return metrics

    def evaluation_rows(self, split: str, context: TaskContext) -> Rows:
        """All rows that the text is made of, also where only its first windows are read. Raises DataError."""
        return self._seen("evaluation", split, self.evaluated(self.source().load(split)), context)

    def training_rows(self, context: TaskContext) -> Rows:
        """All rows of the split: blocks are drawn of the text that they make. Raises DataError."""
        return self._seen("training", self.train_split, self.source().load(self.train_split), context)

    def input_text(self, row: dict[str, Any]) -> str:
        """The row; nothing for headings and lines of fewer than 10 words, which are alike in unrelated texts."""
        text = super().input_text(row).strip()
        heading = text.startswith("=") and text.endswith("=")
        return "" if heading or len(text.split()) < TELLING else text

    def _seen(self, role: Literal["training", "evaluation"], split: str, rows: Rows, context: TaskContext) -> Rows:
        if not any(text.strip() for text in self._texts(rows)):
            raise DataError(f"{rows.place}: split {split} has no text: its {len(rows)} rows are blank")
        self.see(role, split, rows, context)
        return rows

    def _texts(self, rows: Rows) -> list[str]:
        return rows[self.dataset().columns[0].name]

    def _length(self, model: ModelFacts, longest: int) -> int:
        return self.window or min(longest, model.context or longest)

    def _stride(self, length: int) -> int:
        return self.stride or length // 2

    def _wrong_lengths(self, model: ModelFacts) -> str | None:
        """What is wrong with window or stride for that model, or None."""
        if self.window and model.context and self.window > model.context:
            return f"windows of {self.window} tokens are longer than the {model.context} that {model.model_type} reads at once; give a shorter window, or none"
        length = self._length(model, WINDOW)
        if "strided" in self.protocols and self._stride(length) > length:
            return f"a stride of {self.stride} would pass over tokens between windows of {length}; give at most {length}"
        return None

    def _readings(self, texts: list[str], split: str, context: TaskContext) -> list[Reading]:
        """What each protocol reads, in the order of `protocols`."""
        length = self._length(context.model, WINDOW)
        what = f"{self.task}: the {split} split"
        tokens = None if self.protocols == ("lm-eval",) else self.evaluated_tokens(texts, length, context)
        found: list[Reading] = []
        for protocol in self.protocols:
            if protocol == "lm-eval":
                found.append(self._documents_read(texts, context))
                continue
            assert tokens is not None, "only lm-eval does without"
            if protocol == "gptq":
                name, id_, cut = "perplexity", f"gptq-{length}", windows.separate(tokens, length, what)
            else:
                stride = self._stride(length)
                name, id_, cut = "perplexity_strided", f"strided-{length}-{stride}", windows.sliding(tokens, length, stride, what)
            found.append(readings.of_windows(name, self.protocol(f"{self.text_name()}/{id_}", "windows"), cut[: self.max_eval_samples]))
        return found

    def _documents_read(self, texts: list[str], context: TaskContext) -> Reading:
        length = self.window or context.model.context or WINDOW
        documents = self.documents(texts)[: self.max_eval_samples]
        prefix = prefix_token(context)
        read = [windows.rolling(_document_tokens(document.text, prefix, context), prefix, length) for document in documents]
        return readings.of_documents(lambda unit: self.protocol(f"{self.text_name()}/lm-eval-{unit}-{length}", "documents"), documents, read)


def tokens_of(text: str, context: TaskContext, **how: Any) -> Array:
    """A text's tokens, shape (tokens,), tokenized at once with the tokenizer's own special tokens."""
    import numpy as np

    return np.asarray(context.tokenizer(text, verbose=False, **how)["input_ids"], dtype=np.int32)


def prefix_token(context: TaskContext) -> int:
    """The token that a document's first one is predicted from: lm-eval's `prefix_token_id`. Raises Unsupported for a tokenizer that
    has neither a beginning nor an end of text."""
    neither = "the protocol lm-eval predicts a document's first token from the tokenizer's beginning- or end-of-text token, and this tokenizer has neither; use gptq or strided"
    return first_token(context.tokenizer, neither)


def _document_tokens(text: str, prefix: int, context: TaskContext) -> Array:
    if text.startswith(str(context.tokenizer.decode(prefix))):
        return tokens_of(text, context, add_special_tokens=False)  # as lm-eval: it has its beginning already
    return tokens_of(text, context)


def _metric(number: Number, losses: Sequence[float], split: str, context: TaskContext) -> Metric:
    estimate = number.estimate(losses, number.units)
    if estimate.value is None:
        context.note(f"{number.name}: the loss of {sum(losses) / sum(number.units):.4g} per unit is too large for exp")
    return metric(number.name, estimate.value, stderr=estimate.stderr, n=len(losses), split=split, protocol=number.protocol, items=estimate.items)
