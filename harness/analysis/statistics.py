"""Means over seeds, their uncertainty, and differences with an interval. What cannot be known is None, never 0."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.analysis.bootstrap import bootstrap_bounds

CONFIDENCE = 0.95
ROUNDING = 1e-12  # relative; differences of equal decimals differ by this little in binary


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; raises ValueError for no values."""
    if not values:
        raise ValueError("the mean of no values is not defined")
    return math.fsum(values) / len(values) if len(values) > 1 else float(values[0])


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


class Error(NamedTuple):
    """A standard error, or the standard deviation of one measurement, and the degrees of freedom that it was estimated with.

    estimate: what it was estimated from (the repeats of a cell, a pool of cells), the same for all errors that were; None: nothing
    that another error rests on too.
    """

    size: float
    degrees: float
    estimate: Hashable = None

    def scaled(self, factor: float) -> Error:
        """That of the quantity times a factor."""
        return self._replace(size=self.size * abs(factor))

    def reach(self, confidence: float = CONFIDENCE) -> float:
        """Half the width of Student's t interval."""
        return interval_around(0.0, self.size, self.degrees, confidence).high


def combined(errors: Sequence[Error]) -> Error:
    """The error of a sum of independent terms: sizes add in squares, with the degrees of freedom of Satterthwaite 1946.

    Terms whose size rests on one estimate share its degrees of freedom: adding them up does not make the estimate any better.
    """
    largest = max(error.size for error in errors)
    if largest == 0.0:
        return Error(0.0, math.inf)
    shares: dict[Hashable, tuple[float, float]] = {}  # estimate -> its part of the variance, its degrees of freedom
    for at, error in enumerate(errors):
        estimate = (at,) if error.estimate is None else (None, error.estimate)
        before, _ = shares.get(estimate, (0.0, 0.0))
        shares[estimate] = before + (error.size / largest) ** 2, error.degrees  # fourth powers of what diverged would overflow
    variance = math.fsum(share for share, _ in shares.values())
    freedom = math.fsum(share**2 / degrees for share, degrees in shares.values())
    of = errors[0].estimate if len(shares) == 1 else None
    return Error(largest * math.sqrt(variance), variance**2 / freedom if freedom else math.inf, of)


@dataclass(frozen=True)
class Sample:
    """Repetitions of one measurement: one value per seed, each with its own standard error where that is known.

    exact: the values are counts and carry no noise. items: what each item evaluated contributes to the value, for each
    repetition; None where that is not known. repeated: the standard deviation of each value when its cell is run again
    unchanged (A/A, `harness noise`); None where that was not measured. quality: a score over items, which are a sample
    too: repeating says nothing of that part of its noise.
    """

    values: tuple[float, ...]
    stderrs: tuple[float | None, ...] = ()
    exact: bool = False
    items: tuple[tuple[float, ...] | None, ...] = ()
    repeated: tuple[Error | None, ...] = ()
    quality: bool = False

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
        spread = self._spread
        return not (spread and spread > ROUNDING * max(map(abs, self.values)))

    @property
    def _spread(self) -> float | None:
        """Standard error of the mean by the spread over repetitions; None with fewer than two."""
        return None if self.std is None else self.std / math.sqrt(self.n)

    def error(self) -> Error | None:
        """Standard error of the mean and its degrees of freedom; None where the noise is unknown.

        From the spread over seeds where there is one. Repetitions that agree to the last digit (an untuned
        model, evaluated once per seed) are one measurement made again: its own standard error over the items
        evaluated counts (infinite degrees of freedom), as it does for a single seed, and a score that comes without one has
        none. A cost of a single seed has the error that A/A repeats showed; one that repeats exactly has no noise.
        """
        if self.exact:
            return Error(0.0, math.inf)
        spread = self._spread
        if spread and not self.repeats:
            return Error(spread, self.n - 1)
        known = [stderr for stderr in self.stderrs if stderr is not None]
        if known and len(known) == self.n:
            return Error(math.sqrt(mean([stderr**2 for stderr in known])), math.inf)
        if self.quality:
            return None
        again = self.again()
        if again is not None:
            return combined(again)
        return None if spread is None else Error(0.0, math.inf)

    def again(self) -> list[Error] | None:
        """The errors whose sum is the mean's by A/A repeats alone, one per value; None where they were not measured for every value."""
        if self.exact:
            return [Error(0.0, math.inf)]
        known = [error for error in self.repeated if error is not None]
        return [error.scaled(1 / self.n) for error in known] if known and len(known) == self.n else None

    def interval(self) -> Interval | None:
        """Confidence interval of the mean: Student's t over seeds; the bootstrap over items of one measurement that tells them.

        Otherwise from `error`. None for a count, and where the noise is unknown.
        """
        items = self.items[0] if self.items and self.repeats else None
        if items is not None:
            bounds = bootstrap_bounds(items)
            shift = self.values[0] - mean(items)  # the items' mean is the value to first order only
            return None if bounds is None else Interval(bounds[0] + shift, bounds[1] + shift)
        error = self.error()
        return None if error is None or not error.size else interval_around(self.mean, error.size, error.degrees)

    def singles(self) -> list[Sample]:
        """Every repetition as a sample of its own."""
        return [
            Sample((value,), self.stderrs[at : at + 1], self.exact, self.items[at : at + 1], self.repeated[at : at + 1], self.quality)
            for at, value in enumerate(self.values)
        ]


@dataclass(frozen=True)
class Difference:
    """Left minus right, or left over right.

    interval: None where the noise of either side is unknown. floor: the noise floor, None where it was not measured.
    none: the value of no difference, 1 for a ratio.
    """

    value: float
    interval: Interval | None
    floor: float | None = None
    none: float = 0.0

    @property
    def within_noise(self) -> bool | None:
        """Whether it is a tie: the interval holds the value of no difference, or the floor reaches it; None where neither is known."""
        if self.interval is None:
            return True if self.floor is not None and abs(self.value - self.none) <= self.floor else None
        return self.none in self.interval


def difference(left: Sample, right: Sample, confidence: float = CONFIDENCE) -> Difference:
    """Difference of two means with Student's t interval: over the items, where both sides are one measurement on the same ones.

    Otherwise the means are independent, and the interval is Welch's (Welch 1947; Satterthwaite's degrees of freedom);
    a side with one value brings its own standard error over items, with infinite degrees of freedom. Where the
    noise floor of both sides is known, the interval is never narrower than that.
    """
    return difference_by(left.mean - right.mean, error_of_difference(left, right), floor_of(left, right), confidence)


def difference_by(value: float, error: Error | None, floor: Sequence[Error] | None, confidence: float = CONFIDENCE, none: float = 0.0) -> Difference:
    """The difference whose interval is Student's t by `error`, never narrower than what `floor`, the A/A repeats' errors together, reaches."""
    reach = None if floor is None else combined(floor).reach(confidence)
    if error is None:
        return Difference(value, None, reach, none)
    reaches = max(error.reach(confidence), reach or 0.0)
    return Difference(value, Interval(value - reaches, value + reaches), reach, none)


def floor_of(left: Sample, right: Sample) -> list[Error] | None:
    """The errors of left minus right that A/A repeats alone show: together they reach the noise floor. None where not both were repeated.

    They are not combined yet, because those of several pairs may rest on one estimate.
    """
    ours, theirs = left.again(), right.again()
    return None if ours is None or theirs is None else [*ours, *theirs]


def error_of_difference(left: Sample, right: Sample) -> Error | None:
    """The error of left minus right: by item where both sides are one measurement on the same items, else of independent means; None where either's is unknown."""
    by_item = _by_item(left, right)
    if by_item is not None:
        error = standard_error(by_item)
        return None if error is None else Error(error, len(by_item) - 1)
    known = [error for error in (left.error(), right.error()) if error is not None]
    return combined(known) if len(known) == 2 else None


def difference_by_items(left: Sample, right: Sample) -> Error | None:
    """The error of left minus right that the items evaluated show, whatever the repetitions do; None where it is unknown.

    Repetitions stand in pairs, and all of them are asked the same items: these are averaged over the repetitions first. Where the items are not
    known, the mean of the repetitions' errors, which it cannot exceed.
    """
    pairs = list(zip(left.singles(), right.singles(), strict=True))
    by_item = [found for pair in pairs if (found := _by_item(*pair)) is not None]
    if len(by_item) == len(pairs) and len({len(found) for found in by_item}) == 1:
        averaged = [mean(values) for values in zip(*by_item, strict=True)]
        return Error(standard_error(averaged) or 0.0, len(averaged) - 1)
    errors = [error for pair in pairs if (error := error_of_difference(*pair)) is not None]
    return Error(mean([error.size for error in errors]), min(error.degrees for error in errors)) if errors and len(errors) == len(pairs) else None


def _by_item(left: Sample, right: Sample) -> list[float] | None:
    """Left minus right for every item; None where the sides are not one measurement each of equally many items."""
    if not (left.repeats and right.repeats and left.items and right.items):
        return None
    ours, theirs = left.items[0], right.items[0]
    if ours is None or theirs is None or len(ours) != len(theirs) or len(ours) < 2:
        return None
    return [mine - other for mine, other in zip(ours, theirs, strict=True)]
