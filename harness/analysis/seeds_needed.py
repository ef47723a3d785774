"""How many seeds would turn an inconclusive claim into a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from harness.analysis.statistics import Interval

MOST = 1000


class Judged(NamedTuple):
    """A mean, its interval, and the bounds that the interval of a decided claim does not hold; in one unit."""

    value: float
    interval: Interval
    bounds: tuple[float, ...]

    @property
    def is_open(self) -> bool:
        """Whether the interval holds a bound."""
        return any(bound in self.interval for bound in self.bounds)

    def seeds(self, now: int) -> float:
        """How many seeds instead of `now` would keep the interval clear of every bound; infinite where the mean lies on one."""
        distance = min(abs(self.value - bound) for bound in self.bounds)
        reach = max(self.interval.high - self.value, self.value - self.interval.low)
        return math.inf if distance == 0 else now * (reach / distance) ** 2


def seeds_needed(found: Sequence[Judged], now: int) -> str:
    """A sentence: how many seeds would, if the means stay where they are, keep the intervals that are open clear of every bound.

    Their half widths fall with the root of the number of seeds (the change of Student's quantile is left out, so that this is a
    lower estimate for few seeds). now: the seeds that there are. Raises ValueError where none is open.
    """
    needed = max(each.seeds(now) for each in found if each.is_open)
    if math.isinf(needed):
        return "No number of seeds would settle it: the mean lies on the bound."
    if needed > MOST:
        return f"More than {MOST} seeds would be needed to settle it."
    return f"About {max(math.ceil(needed), now + 1)} seeds would settle it, if the mean stays."
