"""What tasks with a prompt and a text as its answer have in common: rows to train on, texts generated, and scores of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.errors import DataError
from harness.fields import identity
from harness.needs import ModelFacts
from harness.records.schema import Metric
from harness.tasks.base import Head, TaskContext, TrainingSet
from harness.tasks.batches import padding_collator
from harness.tasks.benchmark import BenchmarkTask, metric
from harness.tasks.generation.generate import Decoding, generated
from harness.tasks.generation.scores import Score
from harness.tasks.responses import Lengths, ResponseTokenizer
from harness.tasks.rows.source import Rows, Source


@dataclass(frozen=True)
class Asked:
    """One item that is evaluated: an input and every text that would be right."""

    source: str
    references: tuple[str, ...]


CONVERTED = "refs/convert/parquet"


def converted_files(config: str) -> dict[str, str]:
    """By split, the files of a configuration on the hub's branch of converted data sets."""
    return {split: f"{config}/{split}/*.parquet" for split in ("train", "validation", "test")}


# Fields whose defaults differ from one benchmark to the next.


def source_length(default: int | None) -> Any:
    """max_source_length with a benchmark's default."""
    return identity(default, ge=2, description="longest prompt in tokens, special tokens included; what is longer loses its end. null: as the context allows")


def target_length(default: int | None) -> Any:
    """max_target_length with a benchmark's default."""
    return identity(default, ge=1, description="longest target trained on in tokens; null: as train.max_length allows")


def new_tokens(default: int) -> Any:
    """max_new_tokens with a benchmark's default."""
    return identity(default, ge=1, description="a generated text is cut after this many tokens")


def beams(default: int) -> Any:
    """num_beams with a benchmark's default."""
    return identity(default, ge=1, description="beams of the search; 1: greedy")


def penalty(default: float) -> Any:
    """length_penalty with a benchmark's default."""
    return identity(default, description="exponent of the length that a beam's log-likelihood is divided by")


def no_repeat(default: int) -> Any:
    """no_repeat_ngram_size with a benchmark's default."""
    return identity(default, ge=0, description="n-grams of this size occur once in a generated text; 0: as often as they come")


class GenerationTask(BenchmarkTask):
    """A benchmark over inputs and texts. A subclass reads the rows, words the prompt and scores texts.

    gap: what stands between a decoder's prompt and the text. stop: strings at which a text ends. grouped: whether rows of one
    input are one item with several references. hub_revision: where the hub data set's main branch has a script, which datasets
    no longer runs, the branch onto which the hub has converted it.
    """

    gap: ClassVar[str] = " "
    stop: ClassVar[tuple[str, ...]] = ()
    grouped: ClassVar[bool] = False
    hub_revision: ClassVar[str | None] = None

    source_prefix: str | None = identity(None, description="text before every input; null: the benchmark's usual one for that kind of model")
    source_suffix: str | None = identity(None, description="text after every input, never cut off; null: the benchmark's usual one for that kind of model")
    max_source_length: int | None = source_length(None)
    max_target_length: int | None = target_length(None)
    max_new_tokens: int = new_tokens(128)
    num_beams: int = beams(1)
    length_penalty: float = penalty(1.0)
    no_repeat_ngram_size: int = no_repeat(0)

    def source_text(self, row: dict[str, Any]) -> str:
        """The input of a row as the prompt has it."""
        raise NotImplementedError

    def target(self, row: dict[str, Any]) -> str:
        """The text that a row is trained on."""
        raise NotImplementedError

    def references(self, row: dict[str, Any]) -> Sequence[str]:
        """The texts that a row's generated one is compared with."""
        return (self.target(row),)

    def usual_prompt(self, context: TaskContext) -> tuple[str, str]:
        """(prefix, suffix) where the fields give none."""
        return "", ""

    def scores(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """Every metric of generated texts against the references of each."""
        raise NotImplementedError

    def source(self) -> Source:
        return Source(self.dataset(), self.data, self.data_revision or self.hub_revision)

    def head(self, model: ModelFacts) -> Head:
        return Head("seq2seq-lm" if model.kind == "encoder-decoder" else "causal-lm")

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if model is not None and model.kind == "encoder":
            return "texts are generated token by token, which an encoder cannot do"
        return super().unsupported(model, trains)

    def input_text(self, row: dict[str, Any]) -> str:
        return self.source_text(row)

    @property
    def decoding(self) -> Decoding:
        """How texts are found."""
        return Decoding(self.max_new_tokens, self.num_beams, self.length_penalty, self.no_repeat_ngram_size, self.stop)

    def first_rows(self, rows: Rows) -> Rows:
        """All rows, or those of the first max_eval_samples items: an item keeps all its references."""
        if not self.grouped or self.max_eval_samples is None:
            return super().first_rows(rows)
        sources = [self.source_text(row) for row in rows]
        wanted = set(list(dict.fromkeys(sources))[: self.max_eval_samples])
        return rows.take([index for index, source in enumerate(sources) if source in wanted])

    def training_set(self, context: TaskContext) -> TrainingSet:
        """Prompt and target of every row, the loss on the target's tokens alone; raises DataError where no row has both."""
        rows = self.training_rows(context)
        pairs = [(self.source_text(row).strip(), self.target(row).strip()) for row in rows]
        kept = [(source, target) for source, target in pairs if source and target]
        self._say_left_out(len(pairs) - len(kept), len(pairs), "training rows have no input or no target", rows, context)
        tokenizer, prefix, gap = self._tokenizer(context)
        tokenized = tokenizer.rows([prefix + source for source, _ in kept], [gap + target for _, target in kept])
        tokenizer.say(f"{self.task}, training")
        return TrainingSet(tokenized, padding_collator(context))

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        return [found for split in self.splits_evaluated(context) for found in self._metrics(split, model, context)]

    def _metrics(self, split: str, model: Any, context: TaskContext) -> list[Metric]:
        asked = self.asked(self.evaluation_rows(split, context), context)
        tokenizer, prefix, _ = self._tokenizer(context)
        prompts = tokenizer.prompts([prefix + one.source for one in asked], self.max_new_tokens)
        tokenizer.say(f"{self.task}, {split}")
        texts = [text.strip() for text in generated(model, prompts, context, self.decoding)]
        if empty := sum(not text for text in texts):
            context.note(f"{self.task}: {empty} of {len(texts)} generated texts are empty")
        metrics = []
        for score in self.scores(texts, [one.references for one in asked]):
            if score.note:
                context.note(f"{self.task}: {score.note}")
            protocol = self._protocol(score.scorer, context, tokenizer.shortened)
            metrics.append(metric(score.name, score.value, stderr=score.stderr, n=len(asked), split=split, protocol=protocol, items=score.items))
        return metrics

    def asked(self, rows: Rows, context: TaskContext) -> list[Asked]:
        """The items of rows in their order, empty references left out; raises DataError where nothing is left."""
        items: dict[object, Asked] = {}
        for number, row in enumerate(rows):
            source = self.source_text(row).strip()
            references = tuple(text.strip() for text in self.references(row) if text.strip())
            key = source if self.grouped else number
            before = items[key].references if key in items else ()
            items[key] = Asked(source, before + references)
        kept = [item for item in items.values() if item.source and item.references]
        self._say_left_out(len(items) - len(kept), len(items), "items have no input or no reference", rows, context)
        return kept

    def _say_left_out(self, count: int, total: int, what: str, rows: Rows, context: TaskContext) -> None:
        if count == total:
            raise DataError(f"{rows.place}: all {total} {what}; {self.task} needs both")
        if count:
            context.note(f"{self.task}: {count} of {total} {what} and were left out")

    def _tokenizer(self, context: TaskContext) -> tuple[ResponseTokenizer, str, str]:
        """The tokenizer of prompts, what comes before every input, and what before every target."""
        prefix, suffix = self.usual_prompt(context)
        prefix = prefix if self.source_prefix is None else self.source_prefix
        suffix = suffix if self.source_suffix is None else self.source_suffix
        lengths = Lengths(self.max_source_length, self.max_target_length, keep="beginning")
        gap = "" if context.model.kind == "encoder-decoder" else self.gap
        return ResponseTokenizer(context, lengths, ending=suffix), prefix, gap

    def _protocol(self, scorer: str, context: TaskContext, shortened: bool) -> str:
        """Scorer, decoding, and what else makes another measurement: a prompt of one's own, inputs cut short by the model's context."""
        given = (self.source_prefix, self.source_suffix)
        own = any(one is not None and one != usual for one, usual in zip(given, self.usual_prompt(context), strict=True))
        source = "" if self.max_source_length is None else f"source{self.max_source_length}-"
        base = f"{self.task}/{scorer}/{source}{self.decoding.id}"
        return self.protocol(base, "items" if self.grouped else "rows") + "+own-prompt" * own + "+shortened" * shortened
