"""Where the level of a series of measurements changed: binary segmentation with a t-test.

Of all places that leave at least two measurements on both sides, the split with the largest Student's t (pooled variance) is tried. It counts
when its two-sided p, times the number of places tried (Bonferroni), is at most 1 %; then both sides are split likewise. Source: binary
segmentation, Scott & Knott 1974 (Biometrics 30:507). Assumed: independent, roughly normal measurements around levels of equal noise. One odd
measurement is no change of level; a slow drift is seen as steps; levels that last for a few measurements only can hide one another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.statistics import ROUNDING, mean

SIGNIFICANCE = 0.01
SHORTEST = 2  # measurements of a level


@dataclass(frozen=True)
class ChangePoint:
    """at: index of the first measurement of the new level. p: as above, 0 where neither level has any noise."""

    at: int
    p: float


def change_points(values: Sequence[float], significance: float = SIGNIFICANCE) -> list[ChangePoint]:
    """Where the level changed, in order; empty for fewer than four values. Raises ValueError for a value that is not finite."""
    if not all(math.isfinite(value) for value in values):
        raise ValueError("a series with values that are not finite has no levels")
    return _within(values, 0, significance)


def _within(values: Sequence[float], offset: int, significance: float) -> list[ChangePoint]:
    best = _best_split(values)
    if best is None or best.p > significance:
        return []
    left, right = values[: best.at], values[best.at :]
    return [*_within(left, offset, significance), ChangePoint(offset + best.at, best.p), *_within(right, offset + best.at, significance)]


def _best_split(values: Sequence[float]) -> ChangePoint | None:
    """The split with the largest t; None where there is no place for one, or all values are equal up to rounding."""
    from scipy.special import stdtr

    places = range(SHORTEST, len(values) - SHORTEST + 1)
    if not places or max(values) - min(values) <= ROUNDING * max(map(abs, values)):
        return None
    found = {at: _t(values[:at], values[at:]) for at in places}
    at = max(found, key=lambda place: found[place])
    return ChangePoint(at, min(1.0, 2 * float(stdtr(len(values) - 2, -found[at])) * len(places)))


def _t(left: Sequence[float], right: Sequence[float]) -> float:
    """Student's t of the difference of two means, without its sign; infinite where no side has any noise and they differ."""
    difference = abs(mean(left) - mean(right))
    squares = math.fsum((value - mean(side)) ** 2 for side in (left, right) for value in side)
    variance = squares / (len(left) + len(right) - 2)
    noise = math.sqrt(variance * (1 / len(left) + 1 / len(right)))
    level = max(abs(value) for side in (left, right) for value in side)
    if difference <= ROUNDING * level:
        return 0.0
    return math.inf if noise <= ROUNDING * level else difference / noise
