"""GLUE as fine-tuning tasks, each with its own metrics: by a classification or regression head on the model, or as a prompt.

Source: Wang et al. 2018, "GLUE: A Multi-Task Benchmark", table 1. Protocols `glue/<task>/classification-head`,
`glue/stsb/regression-head` and `glue/<task>/prompt-likelihood`: docs/protocols/glue.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from harness.fields import identity
from harness.needs import Machine, ModelFacts, Needs
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, TaskContext, TrainingSet
from harness.tasks.batches import padding_collator
from harness.tasks.benchmark import metric
from harness.tasks.classification import head_outputs, tokenized_sentences
from harness.tasks.glue_datasets import GLUE, GlueTask
from harness.tasks.glue_metrics import score, values_from_evaluate
from harness.tasks.glue_prompts import SCORES, ended, glue_styles, score_place
from harness.tasks.prompted.forms import Prompt, TwoForms
from harness.tasks.rows.source import DataSet, Rows

if TYPE_CHECKING:
    from harness.tasks.statistics import Array


@TASKS.register(*(f"glue/{name}" for name in GLUE))
class Glue(TwoForms):
    """One of the nine GLUE tasks, trained on `train` and evaluated on `validation` (mnli: both of its)."""

    metrics_from: Literal["sklearn", "evaluate"] = identity(
        "sklearn", description="who computes the metrics' values; evaluate fetches its code from the hub"
    )

    @property
    def glue(self) -> GlueTask:
        """What is particular to this one of the nine."""
        return GLUE[self.task.removeprefix("glue/")]

    def label_words(self) -> tuple[str, ...] | None:
        if self.form == "prompt":
            return self.prompt().words
        return None if self.glue.regression else self.glue.classes

    def dev_metrics(self) -> tuple[str, ...]:
        return self.glue.metrics

    def dataset(self) -> DataSet:
        return self.glue.dataset()

    def evaluation_splits(self) -> tuple[str, ...]:
        return self.glue.splits

    def styles(self) -> Mapping[str, Prompt]:
        return glue_styles(self.glue.name)

    def text_columns(self) -> tuple[str, ...]:
        names = tuple(column.name for column in self.glue.sentences)
        return (*names, "hypothesis_ended") if "hypothesis" in names else names

    def texts(self, row: dict[str, Any]) -> dict[str, str]:
        texts = {column.name: row[column.name] for column in self.glue.sentences}
        return texts | {"hypothesis_ended": ended(row["hypothesis"])} if "hypothesis" in texts else texts

    def class_head(self) -> Head:
        if self.glue.regression:
            return Head("sequence-classification", labels=1, problem_type="regression")
        return Head("sequence-classification", len(self.glue.classes), "single_label_classification")

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if self.metrics_from == "evaluate" and (reason := Needs(packages=("evaluate",)).unmet(Machine(), None)):
            return f"metrics_from: evaluate: {reason}"
        return super().unsupported(model, trains)

    def training_set(self, context: TaskContext) -> TrainingSet:
        rows = self.training_rows(context)
        if self.form == "prompt":
            right = [score_place(label) if self.glue.regression else label for label in rows["label"]]
            return self.prompt_training_set([(self.asked(row), answer) for row, answer in zip(rows, right, strict=True)], context)
        tokenized = self._tokenized(rows, context)
        for row, label in zip(tokenized, rows["label"], strict=True):
            row["labels"] = label
        return TrainingSet(tokenized, padding_collator(context))

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        splits = {split: self.evaluation_rows(split, context) for split in self.splits_evaluated(context)}
        predictions, protocol = self._predictions(model, list(splits.values()), context)
        metrics: list[Metric] = []
        start = 0
        for split, rows in splits.items():
            metrics += self._metrics(split, predictions[start : start + len(rows)], rows, protocol, context)
            start += len(rows)
        return metrics

    def _predictions(self, model: Any, parts: list[Rows], context: TaskContext) -> tuple[Array, str]:
        """The class of every row of every part, or stsb's score, shape (rows,); and the protocol id."""
        import numpy as np

        if self.form == "prompt":
            scores, protocol = self.answer_likelihoods(model, [row for rows in parts for row in rows], context)
            likeliest = np.stack(scores).argmax(axis=-1)
            return np.array([float(score) for score in SCORES])[likeliest] if self.glue.regression else likeliest, protocol
        tokenized = [row for rows in parts for row in self._tokenized(rows, context)]
        outputs = head_outputs(model, tokenized, padding_collator(context), context)
        if self.glue.regression:
            return outputs[:, 0], self.protocol(f"{self.task}/regression-head")
        return outputs.argmax(axis=-1), self.protocol(f"{self.task}/classification-head")

    def _tokenized(self, rows: Rows, context: TaskContext) -> list[dict[str, Any]]:
        return tokenized_sentences([rows[column.name] for column in self.glue.sentences], context)

    def _metrics(self, split: str, predictions: Array, rows: Rows, protocol: str, context: TaskContext) -> list[Metric]:
        import numpy as np

        truth = np.array(rows["label"])
        fetched = values_from_evaluate(self.glue.name, predictions, truth) if self.metrics_from == "evaluate" else {}
        metrics = []
        for name in self.glue.metrics:
            value, stderr = score(name, predictions, truth)
            value = fetched.get(name, value)
            if value is None:
                context.note(f"{name} on {split}: undefined, because all predictions or all true scores are equal")
            key = "accuracy_mismatched" if split == "validation_mismatched" else name
            items = (predictions == truth).astype(float).tolist() if name == "accuracy" else None
            metrics.append(metric(key, value, stderr=stderr, n=len(rows), split=split, protocol=protocol, items=items))
        return metrics
