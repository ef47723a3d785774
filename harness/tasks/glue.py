"""GLUE as fine-tuning tasks: a classification or regression head on the model, each task's own metrics.

Source: Wang et al. 2018, "GLUE: A Multi-Task Benchmark", table 1. Protocols `glue/<task>/classification-head`
and `glue/stsb/regression-head`: docs/protocols.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.fields import identity
from harness.needs import Machine, ModelFacts, Needs
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, TaskContext, TrainingSet
from harness.tasks.batches import padding_collator
from harness.tasks.benchmark import BenchmarkTask, metric
from harness.tasks.classification import head_outputs, tokenized_sentences
from harness.tasks.glue_datasets import GLUE, GlueTask
from harness.tasks.glue_metrics import score, values_from_evaluate
from harness.tasks.rows.source import DataSet, Rows

if TYPE_CHECKING:
    from harness.tasks.statistics import Array


@TASKS.register(*(f"glue/{name}" for name in GLUE))
class Glue(BenchmarkTask):
    """One of the nine GLUE tasks, trained on `train` and evaluated on `validation` (mnli: both of its)."""

    metrics_from: Literal["sklearn", "evaluate"] = identity(
        "sklearn", description="who computes the metrics' values; evaluate fetches its code from the hub"
    )

    @property
    def glue(self) -> GlueTask:
        """What is particular to this one of the nine."""
        return GLUE[self.task.removeprefix("glue/")]

    def label_words(self) -> tuple[str, ...] | None:
        return None if self.glue.regression else self.glue.classes

    def dataset(self) -> DataSet:
        return self.glue.dataset()

    def evaluation_splits(self) -> tuple[str, ...]:
        return self.glue.splits

    def head(self, model: ModelFacts) -> Head:
        if self.glue.regression:
            return Head("sequence-classification", labels=1, problem_type="regression")
        return Head("sequence-classification", len(self.glue.classes), "single_label_classification")

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if self.metrics_from == "evaluate" and (reason := Needs(packages=("evaluate",)).unmet(Machine(), None)):
            return f"metrics_from: evaluate: {reason}"
        return super().unsupported(model, trains)

    def training_set(self, context: TaskContext) -> TrainingSet:
        rows = self.training_rows(context)
        tokenized = self._tokenized(rows, context)
        for row, label in zip(tokenized, rows["label"], strict=True):
            row["labels"] = label
        return TrainingSet(tokenized, padding_collator(context))

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        collator = padding_collator(context)
        splits = {split: self.evaluation_rows(split, context) for split in self.evaluation_splits()}
        tokenized = [row for rows in splits.values() for row in self._tokenized(rows, context)]
        outputs = head_outputs(model, tokenized, collator, context)
        metrics: list[Metric] = []
        start = 0
        for split, rows in splits.items():
            metrics += self._metrics(split, outputs[start : start + len(rows)], rows, context)
            start += len(rows)
        return metrics

    def _tokenized(self, rows: Rows, context: TaskContext) -> list[dict[str, Any]]:
        return tokenized_sentences([rows[column.name] for column in self.glue.sentences], context)

    def _metrics(self, split: str, outputs: Array, rows: Rows, context: TaskContext) -> list[Metric]:
        import numpy as np

        truth = np.array(rows["label"])
        predictions = outputs[:, 0] if self.glue.regression else outputs.argmax(axis=-1)
        fetched = values_from_evaluate(self.glue.name, predictions, truth) if self.metrics_from == "evaluate" else {}
        protocol = self.protocol(f"{self.task}/{'regression' if self.glue.regression else 'classification'}-head")
        metrics = []
        for name in self.glue.metrics:
            value, stderr = score(name, predictions, truth)
            value = fetched.get(name, value)
            if value is None:
                context.note(f"{name} on {split}: undefined, because all predictions or all true scores are equal")
            key = "accuracy_mismatched" if split == "validation_mismatched" else name
            metrics.append(metric(key, value, stderr=stderr, n=len(rows), split=split, protocol=protocol))
        return metrics
