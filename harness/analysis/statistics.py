"""Means over seeds, their uncertainty, and differences with an interval. What cannot be known is None, never 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
ROUNDING = 1e-12  # relative; differences of equal decimals differ by this little in binary


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; raises ValueError for no values."""
    if not values:
        raise ValueError("the mean of no values is not defined")
    return math.fsum(values) / len(values)


def sample_std(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1 in the denominator); None with fewer than two values."""
    if len(values) < 2:
        return None
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def standard_error(values: Sequence[float]) -> float | None:
    """Standard error of the mean; None with fewer than two values."""
    std = sample_std(values)
    return None if std is None else std / math.sqrt(len(values))


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval, both ends included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def scaled(self, factor: float) -> Interval:
        """Both ends times a positive factor."""
        return Interval(self.low * factor, self.high * factor)


def interval_around(centre: float, error: float, degrees: float, confidence: float = CONFIDENCE) -> Interval:
    """Student's t interval around `centre`; degrees of freedom may be infinite (then it is the normal one)."""
    from scipy.special import stdtrit

    reach = float(stdtrit(degrees, 0.5 + confidence / 2)) * error
    return Interval(centre - reach, centre + reach)


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Confidence interval of the mean over repetitions (Student's t); None with fewer than two values."""
    error = standard_error(values)
    return None if error is None else interval_around(mean(values), error, len(values) - 1, confidence)


@dataclass(frozen=True)
class Sample:
    """Repetitions of one measurement: one value per seed, each with its own standard error where that is known.

    exact: the values are counts and carry no noise. items: what each item evaluated contributes to the value, for each
    repetition; None where that is not known.
    """

    values: tuple[float, ...]
    stderrs: tuple[float | None, ...] = ()
    exact: bool = False
    items: tuple[tuple[float, ...] | None, ...] = ()

    @property
    def n(self) -> int:
        """How many repetitions."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean over the repetitions; raises ValueError for none."""
        return mean(self.values)

    @property
    def std(self) -> float | None:
        """Sample standard deviation over the repetitions; None with fewer than two."""
        return sample_std(self.values)

    @property
    def repeats(self) -> bool:
        """Whether all repetitions agree to the last digit (an untuned model, evaluated once per seed), or there is one only."""
        spread = standard_error(self.values)
        return not (spread and spread > ROUNDING * max(map(abs, self.values)))

    def error(self) -> tuple[float, float] | None:
        """Standard error of the mean and its degrees of freedom; None where the noise is unknown.

        From the spread over seeds where there is one. Repetitions that agree to the last digit (an untuned
        model, evaluated once per seed) are one measurement made again: its own standard error over the items
        evaluated counts (infinite degrees of freedom), as it does for a single seed.
        """
        if self.exact:
            return 0.0, math.inf
        spread = standard_error(self.values)
        if spread and not self.repeats:
            return spread, self.n - 1
        known = [stderr for stderr in self.stderrs if stderr is not None]
        if known and len(known) == self.n:
            return math.sqrt(mean([stderr**2 for stderr in known])), math.inf
        return None if spread is None else (0.0, math.inf)


@dataclass(frozen=True)
class Difference:
    """Left minus right. interval: None where the noise of either side is unknown."""

    value: float
    interval: Interval | None

    @property
    def within_noise(self) -> bool | None:
        """Whether the interval holds 0; None where there is no interval."""
        return None if self.interval is None else 0.0 in self.interval


def difference(left: Sample, right: Sample, confidence: float = CONFIDENCE) -> Difference:
    """Difference of two means with Student's t interval: over the items, where both sides are one measurement on the same ones.

    Otherwise the means are independent, and the interval is Welch's (Welch 1947; Satterthwaite's degrees of freedom);
    a side with one value brings its own standard error over items, with infinite degrees of freedom.
    """
    value = left.mean - right.mean
    by_item = _by_item(left, right)
    if by_item is not None:
        error = standard_error(by_item)
        return Difference(value, None if error is None else interval_around(value, error, len(by_item) - 1, confidence))
    errors = [side.error() for side in (left, right)]
    known = [error for error in errors if error is not None]
    if len(known) < 2:
        return Difference(value, None)
    variance = sum(error**2 for error, _ in known)
    if variance == 0.0:
        return Difference(value, Interval(value, value))
    freedom = sum(error**4 / degrees for error, degrees in known)
    degrees = variance**2 / freedom if freedom else math.inf
    return Difference(value, interval_around(value, math.sqrt(variance), degrees, confidence))


def _by_item(left: Sample, right: Sample) -> list[float] | None:
    """Left minus right for every item; None where the sides are not one measurement each of equally many items."""
    if not (left.repeats and right.repeats and left.items and right.items):
        return None
    ours, theirs = left.items[0], right.items[0]
    if ours is None or theirs is None or len(ours) != len(theirs) or len(ours) < 2:
        return None
    return [mine - other for mine, other in zip(ours, theirs, strict=True)]
