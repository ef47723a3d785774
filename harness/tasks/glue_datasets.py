"""The nine GLUE tasks: data set, sentences, labels, metrics and evaluated splits of each. Wang et al. 2018, table 1."""

from __future__ import annotations

from dataclasses import dataclass

from harness.tasks.rows.columns import Column, Label, Score, Text
from harness.tasks.rows.source import DataSet

ENTAILMENT = ("entailment", "not_entailment")
MICRO = ("cola", "sst2", "mrpc", "rte", "stsb")


@dataclass(frozen=True)
class GlueTask:
    """One task of GLUE. classes: names in the order of their indices; empty for stsb, whose score runs 0 to 5.

    The columns are named as on the hub; an alias is the name in GLUE's own tsv files.
    """

    name: str
    sentences: tuple[Text, ...]
    classes: tuple[str, ...]
    metrics: tuple[str, ...]
    label_aliases: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("validation",)
    headerless_tsv: tuple[str, ...] = ()

    @property
    def regression(self) -> bool:
        return not self.classes

    def dataset(self) -> DataSet:
        """The task's data set, as the hub's nyu-mll/glue and local folders have it."""
        label: Column = Label("label", self.label_aliases, self.classes)
        if self.regression:
            label = Score("label", self.label_aliases, low=0.0, high=5.0)
        return DataSet(
            name=f"glue/{self.name}", hub="nyu-mll/glue", config=self.name, columns=(*self.sentences, label),
            folders=(("glue",), (self.name,)), micro=f"glue/{self.name}" if self.name in MICRO else None,
            headerless_tsv=self.headerless_tsv,
        )


def _pair(first: str = "sentence1", second: str = "sentence2", *aliases: str) -> tuple[Text, ...]:
    return Text(first, aliases[:1]), Text(second, aliases[1:])


_SENTENCE = (Text("sentence"),)

GLUE: dict[str, GlueTask] = {
    task.name: task
    for task in (
        GlueTask("cola", _SENTENCE, ("unacceptable", "acceptable"), ("matthews_correlation", "accuracy"),
                 headerless_tsv=("source", "label", "original_label", "sentence")),
        GlueTask("sst2", _SENTENCE, ("negative", "positive"), ("accuracy",)),
        GlueTask("mrpc", _pair("sentence1", "sentence2", "#1 String", "#2 String"), ("not_equivalent", "equivalent"),
                 ("accuracy", "f1"), label_aliases=("Quality",)),
        GlueTask("qqp", _pair("question1", "question2"), ("not_duplicate", "duplicate"), ("accuracy", "f1"),
                 label_aliases=("is_duplicate",)),
        GlueTask("stsb", _pair(), (), ("pearson", "spearmanr"), label_aliases=("score",)),
        GlueTask("mnli", _pair("premise", "hypothesis", "sentence1", "sentence2"), ("entailment", "neutral", "contradiction"),
                 ("accuracy",), label_aliases=("gold_label",), splits=("validation_matched", "validation_mismatched")),
        GlueTask("qnli", _pair("question", "sentence"), ENTAILMENT, ("accuracy",)),
        GlueTask("rte", _pair(), ENTAILMENT, ("accuracy",)),
        GlueTask("wnli", _pair(), ("not_entailment", "entailment"), ("accuracy",)),
    )
}
