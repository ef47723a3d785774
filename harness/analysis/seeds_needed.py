"""How many seeds would turn an inconclusive claim into a verdict."""

from __future__ import annotations

import math

from harness.analysis.statistics import Interval

MOST = 1000


def seeds_needed(found: Interval, value: float, bounds: tuple[float, ...], seeds: int) -> str:
    """A sentence: how many seeds would, if the mean stays where it is, keep the interval clear of every bound.

    The interval's half width falls with the root of their number (the change of Student's quantile is left out, so that this is a
    lower estimate for few seeds). bounds: the values that a decided interval does not hold.
    """
    distance = min(abs(value - bound) for bound in bounds)
    reach = max(found.high - value, value - found.low)
    if distance == 0:
        return "No number of seeds would settle it: the mean lies on the bound."
    needed = math.ceil(seeds * (reach / distance) ** 2)
    if needed > MOST:
        return f"More than {MOST} seeds would be needed to settle it."
    return f"About {max(needed, seeds + 1)} seeds would settle it, if the mean stays." if needed > 1 else ""
