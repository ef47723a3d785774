"""SQuAD 1.1 and 2.0: questions on paragraphs of Wikipedia. Encoders mark the answer in the text, language models write it.

Sources: Rajpurkar et al. 2016 and 2018. Protocols `squad/span-<window>-<stride>`, `squad/text-to-text-<decoding>` and
`squad/completion-<decoding>`, likewise `squad_v2/...`: docs/protocols/squad.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.fields import identity
from harness.needs import ModelFacts
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, TaskContext, TrainingSet
from harness.tasks.batches import padding_collator
from harness.tasks.benchmark import BenchmarkTask
from harness.tasks.generation.generate import Decoding, generated
from harness.tasks.reading.answers import best_scores
from harness.tasks.reading.columns import Answers, check_starts
from harness.tasks.reading.metrics import reading_metrics
from harness.tasks.reading.spans import Choice, answers, span_outputs
from harness.tasks.reading.texts import ReadingTokenizer, written_answer
from harness.tasks.reading.windows import WindowTokenizer
from harness.tasks.rows.columns import Text
from harness.tasks.rows.source import DataSet, Rows

SPAN = "question-answering"


@TASKS.register("squad", "squad_v2")
class Squad(BenchmarkTask):
    """Trained on `train`, evaluated on `validation`. In version 2.0 a third to a half of the questions have no answer."""

    doc_stride: int = identity(128, ge=0, description="tokens that neighbouring windows of one context share")
    n_best: int = identity(20, ge=1, description="likeliest beginnings and ends of a span that are paired")
    max_answer_length: int = identity(30, ge=1, description="longest answer in tokens, marked or written")
    no_answer_threshold: float = identity(0.0, description="squad_v2: by how much the score of no answer must exceed that of the best span")

    @property
    def may_be_unanswerable(self) -> bool:
        """Whether questions may have no answer: version 2.0."""
        return self.task == "squad_v2"

    def dataset(self) -> DataSet:
        columns = (Text("context"), Text("question"), Answers("answers", least=0 if self.may_be_unanswerable else 1))
        config = "squad_v2" if self.may_be_unanswerable else "plain_text"
        micro = None if self.may_be_unanswerable else "squad"
        return DataSet(name=self.task, hub=f"rajpurkar/{self.task}", config=config, columns=columns, folders=((self.task,),), micro=micro)

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("validation",)

    def dev_metrics(self) -> tuple[str, ...]:
        return ("f1_tokens", "exact_match")

    def head(self, model: ModelFacts) -> Head:
        """A decoder gets no span head: it would read no further than the word that it judges (and see models.load)."""
        if model.kind == "encoder":
            return Head(SPAN, labels=2)
        return Head("seq2seq-lm" if model.kind == "encoder-decoder" else "causal-lm")

    def loaded(self, split: str, context: TaskContext) -> Rows:
        """See BenchmarkTask. Where a split is trained on, its answers must stand where they say."""
        rows = super().loaded(split, context)
        if split == self.training_split():
            check_starts(rows)
        return rows

    def training_set(self, context: TaskContext) -> TrainingSet:
        rows = self.training_rows(context)
        firsts = [known[0] if known else None for known in rows["answers"]]
        collator = padding_collator(context)
        if context.model.kind != "encoder":
            tokenizer = ReadingTokenizer(context)
            texts = tokenizer.answered([None if first is None else first.text for first in firsts])
            made = tokenizer.rows(tokenizer.asked(rows["question"], rows["context"]), texts)
            tokenizer.say(self.task)
            return TrainingSet(made, collator)
        windows = WindowTokenizer(context, self.doc_stride)
        spans = []
        for window in windows.windows(rows["question"], rows["context"]):
            start, end = window.span(firsts[window.row])
            spans.append({**window.inputs, "start_positions": start, "end_positions": end})
        windows.say(self.task)
        return TrainingSet(spans, collator)

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        (split,) = self.splits_evaluated(context)
        rows = self.evaluation_rows(split, context)
        marks = context.model.kind == "encoder"
        found, protocol = (self._marked if marks else self._written)(model, rows, context)
        known = [[answer.text for answer in right] for right in rows["answers"]]
        scores = [best_scores(answer, right, self.may_be_unanswerable) for answer, right in zip(found, known, strict=True)]
        return reading_metrics(scores, [bool(right) for right in known], split, self.protocol(f"{self.task}/{protocol}"))

    def _marked(self, model: Any, rows: Rows, context: TaskContext) -> tuple[Sequence[str], str]:
        tokenizer = WindowTokenizer(context, self.doc_stride)
        windows = list(tokenizer.windows(rows["question"], rows["context"]))
        tokenizer.say(self.task)
        outputs = span_outputs(model, windows, padding_collator(context), context)
        threshold = self.no_answer_threshold if self.may_be_unanswerable else None
        choice = Choice(self.n_best, self.max_answer_length, threshold)
        return answers(rows["context"], windows, outputs, choice), f"span-{context.max_length}-{self.doc_stride}"

    def _written(self, model: Any, rows: Rows, context: TaskContext) -> tuple[Sequence[str], str]:
        tokenizer = ReadingTokenizer(context)
        completes = context.model.kind == "decoder"
        decoding = Decoding(max_new_tokens=self.max_answer_length, stop=("\n",) if completes else ())
        prompts = tokenizer.prompts(tokenizer.asked(rows["question"], rows["context"]), self.max_answer_length)
        tokenizer.say(self.task)
        texts = generated(model, prompts, context, decoding)
        form = f"{'completion' if completes else 'text-to-text'}-{decoding.id}" + ("+shortened" if tokenizer.shortened else "")
        return [written_answer(text, self.may_be_unanswerable) for text in texts], form
