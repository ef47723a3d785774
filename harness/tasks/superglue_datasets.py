"""The tasks of SuperGLUE: data set, head's texts, metrics of each. Wang et al. 2019, table 1; columns as in the hub's aps/super_glue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.tasks.rows.columns import Column, Label, Place, Text, Texts, Whole
from harness.tasks.rows.source import DataSet
from harness.tasks.superglue_texts import (
    QUESTIONS,
    Row,
    continued_premise,
    entities,
    filled_query,
    marked_pronoun,
    marked_word,
    with_dashes,
)

ENTAILMENT = ("entailment", "not_entailment")
_FALSE_TRUE = ("False", "True")

Pair = tuple[str, str]


@dataclass(frozen=True)
class SuperGlueTask:
    """One task of SuperGLUE.

    classes: names in the order of their indices; empty for record, whose answers are entities. pairs: what the head reads of a row: one
    pair of texts, or one for every candidate, whose answers are `right`. config: the data set's name on the hub.
    """

    name: str
    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    metrics: tuple[str, ...]
    pairs: Callable[[Row], list[Pair]]
    right: Callable[[Row], list[bool]] | None = None
    split: str = "validation"
    config: str | None = None

    def dataset(self) -> DataSet:
        """The task's data set, as the hub and local folders have it."""
        columns = (*self.columns, Label("label", classes=self.classes)) if self.classes else self.columns
        names = (self.name, self.config) if self.config else (self.name,)
        return DataSet(
            name=f"superglue/{self.name}", hub="aps/super_glue", config=self.config or self.name, columns=columns,
            folders=(("superglue",), names),
        )  # fmt: skip


def _texts(*names: str) -> tuple[Text, ...]:
    return tuple(Text(name) for name in names)


def _columns(first: str, second: str) -> Callable[[Row], list[Pair]]:
    return lambda row: [(row[first], row[second])]


# GLUE's RTE has the same rows under other names.
_PREMISE = (Text("premise", ("sentence1",)), Text("hypothesis", ("sentence2",)))
_WIC = (*_texts("word", "sentence1", "sentence2"), *(Whole(name) for name in ("start1", "end1", "start2", "end2")))
_WSC = (*_texts("text", "span1_text", "span2_text"), Whole("span1_index"), Whole("span2_index"))
_COPA = (*_texts("premise", "choice1", "choice2"), Label("question", classes=QUESTIONS))
_MULTIRC = (*_texts("paragraph", "question", "answer"), Place("idx", keys=("paragraph", "question")))
_RECORD = (*_texts("passage", "query"), Texts("entities", length=None), Texts("answers", length=None))

SUPERGLUE: dict[str, SuperGlueTask] = {
    task.name: task
    for task in (
        SuperGlueTask("boolq", _texts("passage", "question"), _FALSE_TRUE, ("accuracy",), _columns("passage", "question")),
        SuperGlueTask("cb", _texts("premise", "hypothesis"), ("entailment", "contradiction", "neutral"), ("accuracy", "f1_macro"),
                      _columns("premise", "hypothesis")),
        SuperGlueTask("copa", _COPA, ("choice1", "choice2"), ("accuracy",),
                      lambda row: [(continued_premise(row, "because", "so"), row[f"choice{number}"]) for number in (1, 2)],
                      right=lambda row: [row["label"] == choice for choice in (0, 1)]),
        SuperGlueTask("multirc", _MULTIRC, _FALSE_TRUE, ("f1", "exact_match"),
                      lambda row: [(row["paragraph"], f"{row['question']} {row['answer']}")]),
        SuperGlueTask("record", _RECORD, (), ("f1_tokens", "exact_match"),
                      lambda row: [(with_dashes(row["passage"]), filled_query(row, entity)) for entity in entities(row)],
                      right=lambda row: [entity in row["answers"] for entity in entities(row)]),
        SuperGlueTask("rte", _PREMISE, ENTAILMENT, ("accuracy",), _columns("premise", "hypothesis")),
        SuperGlueTask("wic", _WIC, _FALSE_TRUE, ("accuracy",), lambda row: [(marked_word(row, 1), marked_word(row, 2))]),
        SuperGlueTask("wsc", _WSC, _FALSE_TRUE, ("accuracy",), lambda row: [(marked_pronoun(row), row["span1_text"])], config="wsc.fixed"),
        SuperGlueTask("axb", _texts("sentence1", "sentence2"), ENTAILMENT, ("matthews_correlation",), _columns("sentence1", "sentence2"),
                      split="test"),
        SuperGlueTask("axg", _texts("premise", "hypothesis"), ENTAILMENT, ("accuracy",), _columns("premise", "hypothesis"), split="test"),
    )
}  # fmt: skip
DIAGNOSTICS = ("axb", "axg")  # evaluated only, by a model tuned on rte
