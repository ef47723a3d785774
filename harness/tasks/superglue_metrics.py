"""SuperGLUE's metrics: values from scikit-learn where it has them, standard errors beside them. Wang et al. 2019, sec. 3.1."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.tasks.glue_metrics import score
from harness.tasks.reading.answers import best_scores
from harness.tasks.statistics import Array, bootstrap_stderr, proportion_stderr
from harness.tasks.superglue_datasets import Row, SuperGlueTask
from harness.tasks.superglue_texts import entities


@dataclass(frozen=True)
class Scored:
    """A metric's value, its standard error (None: undefined on this input), the number of items that it is over, and what each of them
    contributes, where the value is their mean."""

    value: float | None
    stderr: float | None
    n: int
    items: list[float] | None = None


def scored(task: SuperGlueTask, rows: Sequence[Row], chosen: Sequence[int]) -> dict[str, Scored]:
    """The task's metrics by their keys. chosen: of each row the class predicted, or the number of the candidate."""
    if task.name == "record":
        answers = [entities(row)[number] for row, number in zip(rows, chosen, strict=True)]
        return record_scores(answers, [row["answers"] for row in rows])
    truth, predictions = np.array([row["label"] for row in rows]), np.array(chosen)
    if task.name == "multirc":
        return multirc_scores(predictions, truth, [row["idx"] for row in rows])
    if task.name == "cb":
        return {"accuracy": _of_rows("accuracy", predictions, truth), "f1_macro": f1_macro(predictions, truth, len(task.classes))}
    return {name: _of_rows(name, predictions, truth) for name in task.metrics}


def _of_rows(name: str, predictions: Array, truth: Array) -> Scored:
    return _share(predictions == truth) if name == "accuracy" else Scored(*score(name, predictions, truth), len(truth))


def _share(right: Array) -> Scored:
    """The share of items that are right."""
    share = float(right.mean())
    return Scored(share, proportion_stderr(share, len(right)), len(right), right.astype(float).tolist())


def f1_macro(predictions: Array, truth: Array, classes: int) -> Scored:
    """Unweighted mean over all classes of each one's F1, 0 for a class neither predicted nor true; bootstrap over rows."""
    from sklearn.metrics import f1_score

    value = float(f1_score(truth, predictions, labels=range(classes), average="macro", zero_division=0))

    def resampled(left: Array, right: Array) -> Array:
        each = [_f1((left == name) & (right == name), left == name, right == name) for name in range(classes)]
        means: Array = np.mean(each, axis=0)
        return means

    return Scored(value, bootstrap_stderr(resampled, predictions, truth), len(truth))


def multirc_scores(predictions: Array, truth: Array, questions: Sequence[Hashable]) -> dict[str, Scored]:
    """`f1`: F1 of the right answers over all answer options (F1a). `exact_match`: share of questions with every option judged right.

    Standard errors: of f1 the bootstrap over questions, whose options belong together; of exact_match that of a share of questions.
    Source: Khashabi et al. 2018, sec. 3.3; Wang et al. 2019, sec. 3.1.
    """
    numbers = {question: number for number, question in enumerate(dict.fromkeys(questions))}
    place = np.array([numbers[question] for question in questions])
    hits, told, true = (np.bincount(place, weights=which) for which in ((predictions == 1) & (truth == 1), predictions == 1, truth == 1))
    right = np.bincount(place, weights=predictions != truth) == 0

    def resampled(drawn: Array, _: Array) -> Array:
        return _f1_of_counts(hits[drawn].sum(axis=-1), told[drawn].sum(axis=-1), true[drawn].sum(axis=-1))

    every = np.arange(len(numbers))
    f1, _ = score("f1", predictions, truth)
    return {"f1": Scored(f1, bootstrap_stderr(resampled, every, every), len(truth)), "exact_match": _share(right)}


def _f1(both: Array, told: Array, true: Array) -> Array:
    return _f1_of_counts(both.sum(axis=-1), told.sum(axis=-1), true.sum(axis=-1))


def _f1_of_counts(hits: Array, told: Array, true: Array) -> Array:
    shares: Array = 2 * hits / np.maximum(told + true, 1)
    return shares


def record_scores(answers: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, Scored]:
    """`exact_match` and `f1_tokens` of the entities chosen, each against the right answer that it comes nearest to, without case,
    punctuation and articles, as SQuAD compares. Source: Zhang et al. 2018 (ReCoRD), sec. 5.2."""
    pairs = zip(answers, right, strict=True)
    exact, tokens = np.array([best_scores(answer, known, may_be_unanswerable=False) for answer, known in pairs]).T
    spread = float(tokens.std(ddof=1) / np.sqrt(len(tokens))) if len(tokens) > 1 else None
    return {"f1_tokens": Scored(float(tokens.mean()), spread, len(tokens), tokens.tolist()), "exact_match": _share(exact)}
