"""The front of those that nothing beats in both cost and quality, and what it beats by no more than the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.columns import AXES, Row, axis_words, describe
from harness.analysis.groups import AxisOrder, axes_of, group_by, samples
from harness.analysis.statistics import Sample, difference
from harness.errors import HarnessError
from harness.quantities import Quantity


@dataclass(frozen=True)
class Point:
    """One configuration in the plane. name: what tells it from the others of its panel."""

    quantization: str
    method: str
    further: str
    x: Sample
    y: Sample


@dataclass(frozen=True)
class Panel:
    """One model on one task: all its points, measured in one way each."""

    model: str
    task: str
    points: tuple[Point, ...]
    x_way: str | None


def panels(rows: Sequence[Row], x: Quantity, y: Quantity, order: AxisOrder) -> list[Panel]:
    """The panels of a plot, by model and task; cells without both numbers, or measured in several ways, are left out."""
    rows = order.sort(rows, ["model", "task", "method", "quantization", "seed"])
    found = []
    for (model, task), group in group_by(rows, ["model", "task"]).items():
        ways = list(samples(group, x))
        points = tuple(_points(group, x, y)) if len(ways) == 1 and len(samples(group, y)) == 1 else ()
        if points:
            found.append(Panel(str(model), str(task), points, ways[0]))
    return found


def _points(rows: Sequence[Row], x: Quantity, y: Quantity) -> list[Point]:
    swept = [axis for axis in axes_of(rows) if axis not in AXES]
    found = []
    for place, group in group_by(rows, ["quantization", "method", *swept]).items():
        xs, ys = samples(group, x), samples(group, y)
        if xs and ys:
            further = ", ".join(axis_words(axis, value) for axis, value in zip(swept, place[2:], strict=True) if value is not None)
            found.append(Point(str(place[0]), str(place[1]), further, *xs.values(), *ys.values()))
    return found


def front(points: Sequence[Point], x: Quantity, y: Quantity) -> list[Point]:
    """The points that no other beats: as good in one and better in the other. Sorted by x. Of equals, all stay.

    Raises HarnessError for a quantity of which neither way is better.
    """
    by_cost = sorted(points, key=lambda point: (_sign(x) * point.x.mean, _sign(y) * point.y.mean))
    kept: list[Point] = []
    for point in by_cost:
        last = kept[-1] if kept else None
        equal = last is not None and (last.x.mean, last.y.mean) == (point.x.mean, point.y.mean)
        if last is None or equal or _sign(y) * point.y.mean < _sign(y) * last.y.mean:
            kept.append(point)
    return sorted(kept, key=lambda point: (point.x.mean, point.y.mean))


def front_ties(points: Sequence[Point], x: Quantity, y: Quantity) -> list[Point]:
    """The points off the front that nothing on it is known to beat: where one of the front is better than they are, the difference is a
    tie (docs/noise.md). A difference of which the noise is unknown counts as it stands, as it does for the front itself.

    Raises HarnessError for a quantity of which neither way is better.
    """
    best = front(points, x, y)
    on_front = {id(point) for point in best}
    return [point for point in points if id(point) not in on_front and not any(_beats(other, point, x, y) for other in best)]


def _beats(other: Point, point: Point, x: Quantity, y: Quantity) -> bool:
    """Whether the other one is worse in neither, and better in one of both by more than the noise."""
    sides = ((_sign(x), other.x, point.x), (_sign(y), other.y, point.y))
    if any(sign * theirs.mean > sign * ours.mean for sign, theirs, ours in sides):
        return False
    return any(theirs.mean != ours.mean and difference(theirs, ours).within_noise is not True for _, theirs, ours in sides)


def _sign(quantity: Quantity) -> float:
    """+1 where lower is better, -1 where higher is."""
    if quantity.higher_is_better is None:
        raise HarnessError(f"{quantity.key} has no better way; a Pareto front needs one")
    return -1.0 if quantity.higher_is_better else 1.0


def pareto_quantities(rows: Sequence[Row], x: str, y: str) -> tuple[Quantity, Quantity]:
    """Both axes described; raises UnknownName."""
    return describe(x, rows), describe(y, rows)
