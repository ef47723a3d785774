"""Claims over an axis: something increases, decreases, stays from a point on, or two things change places.

The axis is a swept key or one of the fixed axes (its ids in the suite's order), or a field of a part of the cell's configuration
(`method.r`, `method.budget.percent`): then the cells of one value are those that have it. Cells without a limit of training rows stand last
(`task.max_train_samples`: all). From point to point, cells are paired on all other axes, seeds included, as the two sides of a comparison are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from harness.analysis.claim_sides import (
    CheckedClaim,
    difference_words,
    nothing_on,
    objection,
    quantity_of,
    sample,
    unknown_noise,
    what_settles,
    words,
)
from harness.analysis.columns import Row, axis_value
from harness.analysis.effects import paired_difference
from harness.analysis.groups import relevant
from harness.analysis.pairs import Pairing, pair_up, select
from harness.analysis.seeds_needed import Judged
from harness.analysis.statistics import Difference, Interval
from harness.analysis.verdicts import Verdict, judge_crossing, judge_plateau, judge_trend
from harness.quantities import Quantity
from harness.suite.schema import Claim, Measured

PARTS = {"method": "method", "task": "task", "model": "model", "scheme": "quantization", "train": ""}  # part of a cell's configuration -> its axis
ROWS = "task.max_train_samples"


@dataclass(frozen=True)
class Point:
    """The cells at one value of the axis."""

    value: str | float
    rows: tuple[Row, ...]


class Unanswerable(Exception):
    """There is no verdict but this one, and why."""

    def __init__(self, verdict: Verdict, sentence: str) -> None:
        super().__init__(sentence)
        self.verdict, self.sentence = verdict, sentence


class Answer(NamedTuple):
    """A verdict and what it rests on: in a sentence, and as the differences that were judged."""

    verdict: Verdict
    sentence: str
    judged: list[Judged]


def check_trend(rows: Sequence[Row], claim: Claim) -> CheckedClaim:
    """The verdict on a claim over an axis; raises UnknownName for a metric that nobody computed."""
    quantity = quantity_of(claim.left, rows)
    try:
        points = _points(rows, claim.left, claim, quantity)
        if claim.relation == "crosses":
            answer = _crossing(points, rows, claim, quantity)
        elif claim.relation == "plateaus":
            answer = _plateau(points, claim, quantity)
        else:
            answer = _monotone(points, claim, quantity)
    except Unanswerable as found:
        return CheckedClaim(claim, found.verdict, found.sentence)
    settles = f" {what_settles(answer.judged, [row for point in points for row in point.rows], quantity)}" if answer.verdict == "inconclusive" else ""
    return CheckedClaim(claim, answer.verdict, answer.sentence + settles)


def _monotone(points: Sequence[Point], claim: Claim, quantity: Quantity) -> Answer:
    steps = [_difference(later, earlier, claim, quantity) for earlier, later in pairwise(points)]
    whole = _difference(points[-1], points[0], claim, quantity)
    downwards = claim.relation == "decreases"
    verdict = judge_trend([_interval(step, quantity) for step in steps], _interval(whole, quantity), claim.margin, downwards)
    margin = f" by more than {quantity.show(claim.margin / quantity.points)}" if claim.margin else ""
    sentence = f"{_course(points, quantity)}; from first to last {difference_words(whole, quantity)}; claimed: it {claim.relation}{margin}."
    return Answer(verdict, sentence, _judged([whole], (-claim.margin if downwards else claim.margin,), quantity))


def _plateau(points: Sequence[Point], claim: Claim, quantity: Quantity) -> Answer:
    assert claim.since is not None, "the schema asks for it"
    beginning = [point for point in points if isinstance(point.value, int | float) and point.value >= claim.since]
    if len(beginning) < 2:
        raise Unanswerable("inconclusive", f"Fewer than two points from {claim.over} = {claim.since:g} on: {', '.join(_at(point.value) for point in points)}.")
    later = [_difference(point, beginning[0], claim, quantity) for point in beginning[1:]]
    verdict = judge_plateau([_interval(found, quantity) for found in later], claim.margin)
    largest = max(later, key=lambda found: abs(found.value))
    claimed = f"no change of more than {quantity.show(claim.margin / quantity.points)} from {claim.since:g} on"
    sentence = f"{_course(points, quantity)}; largest change from there on {difference_words(largest, quantity)}; claimed: {claimed}."
    return Answer(verdict, sentence, _judged(later, (-claim.margin, claim.margin), quantity))


def _crossing(ours: Sequence[Point], rows: Sequence[Row], claim: Claim, quantity: Quantity) -> Answer:
    assert isinstance(claim.right, Measured), "the schema asks for it"
    theirs = _points(rows, claim.right, claim, quantity)
    shared = [(left, right) for left in ours for right in theirs if left.value == right.value]
    if len(shared) < 2:
        raise Unanswerable("inconclusive", f"The two sides share fewer than two points of {claim.over}.")
    first, last = (_difference(left, right, claim, quantity, both=True) for left, right in (shared[0], shared[-1]))
    verdict = judge_crossing(_interval(first, quantity), _interval(last, quantity), claim.margin)
    at = [_at(shared[end][0].value) for end in (0, -1)]
    told = f"{quantity.label}, left less right: {difference_words(first, quantity)} at {claim.over} = {at[0]}, {difference_words(last, quantity)} at {at[1]}"
    return Answer(verdict, f"{told}; claimed: left begins below right and ends above it.", _judged([first, last], (0.0,), quantity))


def _judged(found: Sequence[Difference], bounds: tuple[float, ...], quantity: Quantity) -> list[Judged]:
    return [Judged(each.value * quantity.points, _interval(each, quantity), bounds) for each in found]


def _points(rows: Sequence[Row], side: Measured, claim: Claim, quantity: Quantity) -> list[Point]:
    """The axis' points in order: numbers by size, names as the suite lists them. Raises Unanswerable for fewer than two."""
    assert claim.over is not None, "the schema asks for it"
    found: dict[str | float, list[Row]] = {}
    cells = select(relevant(rows, quantity), side.where)
    if not cells:
        raise Unanswerable("inconclusive", nothing_on(side, "left" if side is claim.left else "right", rows, quantity))
    for row in cells:
        value = _place(row, claim.over)
        if value is not None:
            found.setdefault(value, []).append(row)
    if len(found) < 2:
        raise Unanswerable("inconclusive", f"Fewer than two points of {claim.over} among {words(side)}: {', '.join(map(_at, found)) or 'none'}.")
    numbers = [value for value in found if not isinstance(value, str)]
    values = sorted(numbers) if len(numbers) == len(found) else list(found)
    return [Point(value, tuple(found[value])) for value in values]


def _place(row: Row, over: str) -> str | float | None:
    """Where on the axis the cell stands: a number (infinity: all training rows) or a name; None where it has no such value."""
    part, *path = over.split(".")
    found = row.axes[over] if over in row.axes else row.config(part, path[0]) if path else None
    for name in path[1:] if over not in row.axes else ():
        found = found.get(name) if isinstance(found, Mapping) else None
    if found is None and over == ROWS:
        return math.inf
    return found if isinstance(found, str | int | float) else None


def _at(value: str | float) -> str:
    return "all" if value == math.inf else axis_value(value)


def _difference(later: Point, earlier: Point, claim: Claim, quantity: Quantity, both: bool = False) -> Difference:
    """The mean of `later` less `earlier` over pairs. both: two sides at one value, which differ on the axes that both name."""
    assert claim.over is not None, "the schema asks for it"
    if both and isinstance(claim.right, Measured):
        free = set(claim.left.where) | set(claim.right.where)
    elif all(claim.over in row.axes for row in later.rows):
        free = {claim.over}
    else:
        free = {PARTS.get(claim.over.partition(".")[0], "")}
    pairing: Pairing = pair_up(later.rows, earlier.rows, free)
    if not pairing.pairs:
        raise Unanswerable("inconclusive", f"No cell at {claim.over} = {_at(later.value)} has a partner at {_at(earlier.value)} that agrees with it on the other axes.")
    against = objection(pairing, quantity, quantity, claim)
    if against is not None:
        raise Unanswerable(*against)
    found = paired_difference([(sample(pair.left, quantity), sample(pair.right, quantity)) for pair in pairing.pairs])
    if found.interval is None:
        raise Unanswerable("inconclusive", f"{quantity.label} at {claim.over} = {_at(later.value)}: {unknown_noise(later.rows, quantity)}")
    return found


def _interval(found: Difference, quantity: Quantity) -> Interval:
    assert found.interval is not None, "looked at before"
    return found.interval.scaled(quantity.points)


def _course(points: Sequence[Point], quantity: Quantity) -> str:
    return f"{quantity.label} " + ", ".join(f"{quantity.show(sample(point.rows, quantity).mean)} at {_at(point.value)}" for point in points)

