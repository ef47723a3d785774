"""From a difference and its interval to a verdict. The rules, in full:

    d = left - right (or left / right for `ratio`), with a 95 % interval [low, high]; margin m >= 0.

    relation   reproduced                direction only                not reproduced
    <          high < -m                 high < 0                      low >= -m
    >          low > m                   low > 0                       high <= m
    <=         high <= m                                               low > m
    >=         low >= -m                                               high < -m
    within     -m <= low and high <= m                                 low > m or high < -m
    ratio      f-m <= low, high <= f+m   on the same side of 1 as f    otherwise, once [low, high] misses [f-m, f+m]

Everything else is inconclusive: the interval is too wide to tell. So for `<` and `>` the margin is the least
effect that is claimed, for `<=`, `>=`, `within` and `ratio` it is slack. Columns are tried from left to right.
"""

from __future__ import annotations

from typing import Literal

from harness.analysis.statistics import Interval
from harness.suite.schema import Relation

Verdict = Literal["reproduced", "direction only", "not reproduced", "inconclusive", "not comparable"]


def judge(relation: Relation, found: Interval, margin: float, factor: float | None = None) -> Verdict:
    """The verdict by the table above; interval and margin in one unit. Raises ValueError for a ratio without factor."""
    if relation == "<":
        return _strict(found, margin)
    if relation == ">":
        return _strict(_mirrored(found), margin)
    if relation == "<=":
        return _at_most(found, margin)
    if relation == ">=":
        return _at_most(_mirrored(found), margin)
    if relation == "within":
        return _within(found, Interval(-margin, margin))
    if factor is None:
        raise ValueError("relation ratio needs a factor")
    return _ratio(found, Interval(factor - margin, factor + margin), factor)


def _mirrored(found: Interval) -> Interval:
    return Interval(-found.high, -found.low)


def _strict(found: Interval, margin: float) -> Verdict:
    if found.high < -margin:
        return "reproduced"
    if found.high < 0:
        return "direction only"
    return "not reproduced" if found.low >= -margin else "inconclusive"


def _at_most(found: Interval, margin: float) -> Verdict:
    if found.high <= margin:
        return "reproduced"
    return "not reproduced" if found.low > margin else "inconclusive"


def _within(found: Interval, allowed: Interval) -> Verdict:
    if found.low in allowed and found.high in allowed:
        return "reproduced"
    return "not reproduced" if found.low > allowed.high or found.high < allowed.low else "inconclusive"


def _ratio(found: Interval, allowed: Interval, factor: float) -> Verdict:
    verdict = _within(found, allowed)
    if verdict != "not reproduced":
        return verdict
    same_side = found.low > 1 if factor > 1 else found.high < 1
    return "direction only" if same_side and factor != 1 else "not reproduced"
