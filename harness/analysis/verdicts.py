"""From a difference and its interval to a verdict. The rules, in full:

    d = left - right (or left / right for `ratio`), with a 95 % interval [low, high]; margin m >= 0.

    relation   reproduced                direction only                not reproduced
    <          high < -m                 high < 0                      low >= -m
    >          low > m                   low > 0                       high <= m
    <=         high <= m                                               low > m
    >=         low >= -m                                               high < -m
    within     -m <= low and high <= m                                 low > m or high < -m
    ratio      f-m <= low, high <= f+m   all on the same side of 1     [low, high] misses [f-m, f+m]
                                         as f

    of a trend from the first to the last point of an axis, whole = last - first, step = from one point to the next:

    increases  whole.low > m, no step is     whole.low > 0                  whole.high <= m
               surely down
    decreases  the same, mirrored
    plateaus   every later point is within   –                              one surely is not
               m of the point at `since`
    crosses    left - right: first.high < -m  first.high < 0,               first.low >= 0 or last.high <= 0
               and last.low > m               last.low > 0
    best       lead over every other one:    –                             the high end of one is below -m
               low >= -m

Everything else is inconclusive: the interval is too wide to tell. So for `<` and `>` the margin is the least
effect that is claimed, for `<=`, `>=`, `within`, `ratio` and `best` it is slack. Columns are tried from left to right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness.analysis.statistics import Interval
from harness.suite.schema import Comparison

Verdict = Literal["reproduced", "direction only", "not reproduced", "inconclusive", "not comparable"]


def judge(relation: Comparison, found: Interval, margin: float, factor: float | None = None) -> Verdict:
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


def bounds(relation: Comparison, margin: float, factor: float | None = None) -> tuple[float, ...]:
    """The values that the interval of a decided claim does not hold."""
    if relation in ("<", ">="):
        return (-margin,)
    if relation in (">", "<="):
        return (margin,)
    centre = 0.0 if factor is None else factor
    return (centre - margin, centre + margin)


def judge_trend(steps: Sequence[Interval], whole: Interval, margin: float, downwards: bool = False) -> Verdict:
    """Whether something increases (downwards: decreases). steps: from each point of the axis to the next; whole: from first to last."""
    if downwards:
        steps, whole = [_mirrored(step) for step in steps], _mirrored(whole)
    if whole.low > margin and all(step.high >= 0 for step in steps):
        return "reproduced"
    if whole.low > 0:
        return "direction only"
    return "not reproduced" if whole.high <= margin else "inconclusive"


def judge_plateau(later: Sequence[Interval], margin: float) -> Verdict:
    """Whether nothing changes from a point on. later: every later point less that one."""
    verdicts = [_within(found, Interval(-margin, margin)) for found in later]
    if all(verdict == "reproduced" for verdict in verdicts):
        return "reproduced"
    return "not reproduced" if "not reproduced" in verdicts else "inconclusive"


def judge_crossing(first: Interval, last: Interval, margin: float) -> Verdict:
    """Whether left begins below right and ends above it. first, last: left less right at both ends of the axis."""
    if first.high < -margin and last.low > margin:
        return "reproduced"
    if first.high < 0 < last.low:
        return "direction only"
    return "not reproduced" if first.low >= 0 or last.high <= 0 else "inconclusive"


def judge_best(leads: Sequence[Interval], margin: float) -> Verdict:
    """Whether nobody is better. leads: by how much the left side is better than each other one, larger is better."""
    verdicts = [_at_most(_mirrored(lead), margin) for lead in leads]
    if all(verdict == "reproduced" for verdict in verdicts):
        return "reproduced"
    return "not reproduced" if "not reproduced" in verdicts else "inconclusive"


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
    same_side = found.low > 1 if factor > 1 else factor < 1 and found.high < 1
    return "direction only" if verdict != "reproduced" and same_side else verdict
