"""SuperGLUE as fine-tuning tasks, each with its own metrics: by a classification head on the model, or as a prompt.

Source: Wang et al. 2019, "SuperGLUE: A Stickier Benchmark for General-Purpose Language Understanding Systems", sec. 3 and table 1.
Protocols `superglue/<task>/classification-head` and `superglue/<task>/prompt-likelihood`: docs/protocols/superglue.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import DataError
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, TaskContext, TrainingSet
from harness.tasks.batches import padding_collator
from harness.tasks.benchmark import metric
from harness.tasks.classification import head_outputs, tokenized_sentences
from harness.tasks.prompted.forms import Prompt, TwoForms
from harness.tasks.prompted.questions import Asked
from harness.tasks.rows.source import DataSet, Rows
from harness.tasks.superglue_datasets import DIAGNOSTICS, SUPERGLUE, Row, SuperGlueTask
from harness.tasks.superglue_metrics import Scored, scored
from harness.tasks.superglue_prompts import TEXT_COLUMNS, own_answers, superglue_styles, superglue_texts
from harness.tasks.superglue_texts import entities, problem, span_start

if TYPE_CHECKING:
    from harness.tasks.statistics import Array


@TASKS.register(*(f"superglue/{name}" for name in SUPERGLUE if name not in DIAGNOSTICS))
class SuperGlue(TwoForms):
    """One of the eight SuperGLUE tasks, trained on `train` and evaluated on `validation`."""

    @property
    def superglue(self) -> SuperGlueTask:
        """What is particular to this one."""
        return SUPERGLUE[self.task.removeprefix("superglue/")]

    def label_words(self) -> tuple[str, ...] | None:
        words = self.prompt().words if self.form == "prompt" else self.superglue.classes
        return words or None

    def dev_metrics(self) -> tuple[str, ...]:
        return self.superglue.metrics

    def dataset(self) -> DataSet:
        return self.superglue.dataset()

    def evaluation_splits(self) -> tuple[str, ...]:
        return (self.superglue.split,)

    def styles(self) -> Mapping[str, Prompt]:
        return superglue_styles(self.superglue.name)

    def text_columns(self) -> tuple[str, ...]:
        return TEXT_COLUMNS[self.superglue.name]

    def texts(self, row: Row) -> dict[str, str]:
        return superglue_texts(self.superglue.name, row, self.prompts)

    def answers(self, row: Row) -> tuple[str, ...]:
        return self.prompt().words or own_answers(self.superglue.name, row, self.prompts)

    def class_head(self) -> Head:
        """Of a task with candidates: whether a candidate is the right one."""
        labels = 2 if self.superglue.right else len(self.superglue.classes)
        return Head("sequence-classification", labels, "single_label_classification")

    def input_text(self, row: Row) -> str:
        """Record's answers are a column of texts too, and no part of what is asked."""
        return f"{row['passage']}\n{row['query']}" if "query" in row else super().input_text(row)

    def evaluation_rows(self, split: str, context: TaskContext) -> Rows:
        return self._checked(super().evaluation_rows(split, context), context)

    def training_rows(self, context: TaskContext) -> Rows:
        return self._checked(super().training_rows(context), context)

    def training_set(self, context: TaskContext) -> TrainingSet:
        """One row per row of the data; of tasks with candidates one per candidate for a head, one per right answer for a prompt."""
        rows = self.training_rows(context)
        if self.form == "prompt":
            asked = [self._asked_for(row) for row in rows]
            if unanswered := asked.count([]):
                context.note(f"{self.task}: {unanswered} of {len(rows)} training rows have no right answer among their entities and are left out")
            return self.prompt_training_set([pair for pairs in asked for pair in pairs], context)
        pairs = [(pair, label) for row in rows for pair, label in zip(self.superglue.pairs(row), self._labels(row), strict=True)]
        tokenized = tokenized_sentences([[pair[side] for pair, _ in pairs] for side in (0, 1)], context)
        for row, (_, label) in zip(tokenized, pairs, strict=True):
            row["labels"] = label
        return TrainingSet(tokenized, padding_collator(context))

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        (split,) = self.splits_evaluated(context)
        rows = list(self.evaluation_rows(split, context))
        if self.form == "prompt":
            scores, protocol = self.answer_likelihoods(model, rows, context)
        else:
            scores, protocol = self._head_scores(model, rows, context), self.protocol(f"{self.task}/classification-head")
        found = scored(self.superglue, rows, [int(row.argmax()) for row in scores])
        return [self._metric(name, each, split, protocol) for name, each in found.items()]

    def _metric(self, name: str, found: Scored, split: str, protocol: str) -> Metric:
        return metric(name, found.value, stderr=found.stderr, n=found.n, split=split, protocol=protocol, items=found.items)

    def _head_scores(self, model: Any, rows: list[Row], context: TaskContext) -> list[Array]:
        """The head's outputs for each class of each row, or for each of its candidates how much likelier right than wrong it is."""
        pairs = [self.superglue.pairs(row) for row in rows]
        tokenized = tokenized_sentences([[pair[side] for each in pairs for pair in each] for side in (0, 1)], context)
        outputs = head_outputs(model, tokenized, padding_collator(context), context)
        if self.superglue.right is None:
            return list(outputs)
        ends = [0]
        for each in pairs:
            ends.append(ends[-1] + len(each))
        return [outputs[start:end, 1] - outputs[start:end, 0] for start, end in pairwise(ends)]

    def _labels(self, row: Row) -> list[int]:
        """The head's labels of a row: its class, or of each candidate whether it is right."""
        return [row["label"]] if self.superglue.right is None else [int(right) for right in self.superglue.right(row)]

    def _asked_for(self, row: Row) -> list[tuple[Asked, int]]:
        """A row as prompts to train on, each with the number of the right answer: record's have several right ones, and each is one
        of its own among the wrong ones."""
        asked = self.asked(row)
        if self.superglue.classes:
            return [(asked, row["label"])]
        right = [entity in row["answers"] for entity in entities(row)]
        wrong = tuple(answer for answer, is_right in zip(asked.answers, right, strict=True) if not is_right)
        return [(Asked(asked.texts, (answer, *wrong)), 0) for answer, is_right in zip(asked.answers, right, strict=True) if is_right]

    def _checked(self, rows: Rows, context: TaskContext) -> Rows:
        """The rows; raises DataError for one that cannot be asked, and notes wsc's whose words are not where they should be."""
        lost = 0
        for row in rows:
            wrong = problem(self.superglue.name, row)
            if wrong is not None:
                raise DataError(f"{rows.place}: {self.task}: {wrong}; the row begins {str(next(iter(row.values())))[:60]!r}")
            if self.superglue.name == "wsc":
                lost += any(span_start(row["text"], row[f"span{number}_text"], row[f"span{number}_index"]) is None for number in (1, 2))
        if lost:
            context.note(f"{self.task}: {lost} of {len(rows)} rows have a span that their text does not hold; it stays unmarked")
        return rows


@TASKS.register(*(f"superglue/{name}" for name in DIAGNOSTICS))
class SuperGlueDiagnostic(SuperGlue):
    """SuperGLUE's diagnostic sets, evaluated beside superglue/rte.

    `task: superglue/rte`, `also: [superglue/axb]`: they have no training rows.
    """

    trainable: ClassVar[bool] = False
