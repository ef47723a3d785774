"""Rows of random tokens, every one exactly train.max_length long: for memory and speed, which don't depend on what is read.

Nothing is scored: a model that has read noise has learned nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from harness.errors import Unsupported
from harness.fields import identity
from harness.needs import ModelFacts
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, Task, TaskContext, TrainingSet
from harness.tasks.batches import PaddingCollator, declare_padding, in_batches, refuse_non_finite

if TYPE_CHECKING:
    import torch


@TASKS.register("synthetic")
class Synthetic(Task):
    """Trained on random rows; evaluated, where `evaluation_rows` asks for it, by forward passes that give no metric."""

    rows: int = identity(256, ge=1, description="rows to train on, each train.max_length tokens long")
    evaluation_rows: int = identity(0, ge=0, description="rows of that length read in every evaluation, for its time and memory; 0: none")
    output: Literal["auto", "language-model", "classification"] = identity("auto", description="what the model ends in; auto: classification for an encoder, else a language model")
    labels: int = identity(2, ge=2, description="classes of a classification")
    target_length: int | None = identity(None, ge=1, description="tokens of every target of an encoder-decoder; null: as many as of the input")

    @model_validator(mode="after")
    def _nothing_is_read(self) -> Synthetic:
        given = [name for name in ("data", "data_revision", "max_dev_samples") if getattr(self, name) != type(self).model_fields[name].default]
        if given:
            raise ValueError(f"synthetic draws its rows and reads no data: leave out {' and '.join(given)}")
        return self

    def head(self, model: ModelFacts) -> Head:
        if self.output == "classification" or (self.output == "auto" and model.kind == "encoder"):
            return Head("sequence-classification", labels=self.labels, problem_type="single_label_classification")
        return Head("seq2seq-lm" if model.kind == "encoder-decoder" else "causal-lm")

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if model is not None and model.kind == "encoder" and self.output == "language-model":
            return "an encoder writes no text: leave `output` to auto"
        return None

    def label_words(self) -> tuple[str, ...] | None:
        return tuple(f"class {number}" for number in range(self.labels)) if self.output == "classification" else None

    def training_set(self, context: TaskContext) -> TrainingSet:
        """Random rows with labels of the head's kind; the same for the same seed."""
        count = min(self.rows, self.max_train_samples or self.rows)
        rows = self._drawn(count, context, context.seed)
        context.used.see("training", self.task, "random", {"input_ids": [row["input_ids"].tolist() for row in rows]}, [""] * count)
        return TrainingSet(rows, PaddingCollator(_padding(context)))

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        """Reads the rows and returns nothing; raises Diverged for outputs that are not finite."""
        rows = self._drawn(min(self.evaluation_rows, self.max_eval_samples or self.evaluation_rows), context, context.seed + 1)
        collator = PaddingCollator(_padding(context))
        declare_padding(model, collator.pad_token_id)

        def read(indices: list[int]) -> None:
            batch = collator([rows[index] for index in indices])
            refuse_non_finite(model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits)

        in_batches([len(row["input_ids"]) for row in rows], context, read)
        return []

    def _drawn(self, count: int, context: TaskContext, seed: int) -> list[dict[str, Any]]:
        """`count` rows of context.max_length tokens, none of them special."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        first, behind = _ordinary(context)

        def tokens(length: int) -> torch.Tensor:
            return torch.randint(first, behind, (count, length), generator=generator)

        inputs = tokens(context.max_length)
        kind = self.head(context.model).kind
        if kind == "sequence-classification":
            classes = torch.randint(0, self.labels, (count,), generator=generator).tolist()
            return [{"input_ids": ids, "labels": label} for ids, label in zip(inputs, classes, strict=True)]
        targets = inputs if kind == "causal-lm" else tokens(self.target_length or context.max_length)
        return [{"input_ids": ids, "labels": target} for ids, target in zip(inputs, targets, strict=True)]


def _ordinary(context: TaskContext) -> tuple[int, int]:
    """The widest range of token ids, from the first to behind the last, without a special one.

    A classifier on a decoder reads its answer at the last token that does not pad: no row may hold that token.
    """
    vocabulary = context.model.vocabulary or len(context.tokenizer)
    special = sorted({id_ for id_ in (*context.tokenizer.all_special_ids, _padding(context)) if id_ < vocabulary})
    ranges = list(zip([0, *(id_ + 1 for id_ in special)], [*special, vocabulary], strict=True))
    first, behind = max(ranges, key=lambda ends: ends[1] - ends[0])
    if first >= behind:
        raise Unsupported(f"a vocabulary of {vocabulary} tokens leaves none to draw rows from")
    return first, behind


def _padding(context: TaskContext) -> int:
    """What pads where a batch is filled up: nothing is, all rows being of one length, but models want to know."""
    tokenizer = context.tokenizer
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return 0 if padding is None else int(padding)
