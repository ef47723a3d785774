"""Whether the base came through training as it was: with the method turned off it must score exactly what it scored before.

Compared are all metrics of every evaluation over its first few items, before training and after it, for equality to the last bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from harness.errors import Unsupported
from harness.methods.base import Method
from harness.records.schema import CellResult, Unchanged
from harness.runs.phases.evaluate import metrics_of
from harness.tasks.used_rows import UsedRows

if TYPE_CHECKING:
    from harness.runs.cell import Life

ITEMS = 4  # of every evaluation: a base that moved shows in the first of them, and the others cost time

Scores: TypeAlias = list[tuple[str | None, str, float | None]]


def due(life: Life) -> bool:
    """Whether the method has anything to turn off; where it has not, the record says why."""
    assert life.method is not None, "size comes first"
    if type(life.method).off is not Method.off:
        return True
    life.result.base = Unchanged(same=None, reason=f"{life.method.method} tunes weights of the base itself")
    return False


def before(life: Life) -> None:
    """Scores the base, the method not attached yet."""
    life.base_scores = _scores(life)


def after(life: Life) -> None:
    """Scores the tuned model with the method off, and says whether anything has changed."""
    assert life.method is not None, "attach comes first"
    assert life.base_scores is not None, "before comes first"
    try:
        with life.method.off(life.model):
            scores = _scores(life)
    except Unsupported as reason:
        life.result.base = Unchanged(same=None, reason=str(reason))
        return
    if not scores:
        life.result.base = Unchanged(same=None, reason="nothing is evaluated")
        return
    same = scores == life.base_scores
    life.result.base = Unchanged(same=same, metrics=len(scores))
    if not same:
        changed = next(name for (_, name, now), (_, _, then) in zip(scores, life.base_scores, strict=True) if now != then)
        life.result.notes.append(f"the frozen base has changed: with the method turned off, {changed} over the first items is not what it was before training")


def _scores(life: Life) -> Scores:
    """What the life's model scores on the first items of every evaluation; nothing of it goes to the record."""
    quiet = replace(life, result=CellResult(), used=UsedRows(), report=lambda event: None)
    return [
        (label, f"{metric.name} ({metric.protocol})", metric.value)
        for label, task in life.cell.config.evaluated
        for metric in metrics_of(quiet, task.first_items(ITEMS))
    ]

