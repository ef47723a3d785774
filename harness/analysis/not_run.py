"""Planned cells without a record that a claim is about: while one is missing, nothing that the others show is the claim's verdict."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.claim_sides import quantity_of
from harness.analysis.columns import Row, axis_words
from harness.analysis.groups import relevant
from harness.records.planned import Place
from harness.suite.exclude import matches
from harness.suite.schema import Claim, Measured

MOST_NAMED = 3


def not_run(rows: Sequence[Row], absent: Sequence[Place], claim: Claim) -> list[Place]:
    """Those of `absent` that the claim selects and, where it has two sides of cells, that have a partner on the other side.

    Cells of tasks that are known not to have the number don't count. Raises UnknownName for a metric that nobody knows or computed.
    """
    sides = [side for side in (claim.left, claim.right) if isinstance(side, Measured)]
    without = [_without(rows, side) for side in sides]
    selected = [[place for place in absent if _selects(side, place) and place["task"] not in tasks] for side, tasks in zip(sides, without, strict=True)]
    if len(sides) == 2 and claim.over is None and any(selected):
        planned = [[*found, *(row.axes for row in rows if _selects(side, row.axes))] for side, found in zip(sides, selected, strict=True)]
        tied = _tied(planned[0], planned[1], claim)
        partners = [{_at(place, tied) for place in places} for places in reversed(planned)]
        selected = [[place for place in found if _at(place, tied) in others] for found, others in zip(selected, partners, strict=True)]
    wanted = {id(place) for found in selected for place in found}
    return [place for place in absent if id(place) in wanted]


def not_run_words(places: Sequence[Place]) -> str:
    """A sentence that names the first of them."""
    named = [" / ".join(axis_words(axis, value) for axis, value in place.items()) for place in places[:MOST_NAMED]]
    more = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
    return f"Not all of its cells have a record: {'; '.join(named)}{more}."


def _selects(side: Measured, place: Place) -> bool:
    return all(axis in place and matches(pattern, place[axis]) for axis, pattern in side.where.items())


def _without(rows: Sequence[Row], side: Measured) -> set[str]:
    """Tasks that ran and do not have the number."""
    having = {row.axes["task"] for row in relevant(rows, quantity_of(side, rows))}
    return {row.axes["task"] for row in rows} - having


def _tied(ours: Sequence[Place], theirs: Sequence[Place], claim: Claim) -> list[str]:
    """The axes on which cells must agree to be compared, as `harness.analysis.pairs` has it, seeds aside."""
    assert isinstance(claim.right, Measured), "asked of claims with two sides of cells"
    axes = {axis: None for place in (*ours, *theirs) for axis in place}
    left, right = set(claim.left.where), set(claim.right.where)
    lacking = {axis for axis in left if not any(axis in place for place in theirs)} | {axis for axis in right if not any(axis in place for place in ours)}
    return [axis for axis in axes if axis not in (left & right) | lacking | {"seed"}]


def _at(place: Place, axes: Sequence[str]) -> tuple[str, ...]:
    return tuple(repr(place.get(axis)) for axis in axes)
