"""What one choice changes against another: pairs of samples, their mean difference or ratio, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from harness.analysis.statistics import (
    Difference,
    Error,
    Sample,
    combined,
    difference,
    difference_by,
    floor_of,
)
from harness.analysis.table import Entry

Sides: TypeAlias = tuple[Sample, Sample]

TIE_MARK = "≈"
TIE_NOTE = "a difference within the noise: a tie (docs/noise.md of the harness)"


def tie_marks(found: Difference | None) -> tuple[str, ...]:
    """The mark of a difference that is a tie; none where it is not, or where the noise is unknown."""
    return (TIE_MARK,) if found is not None and found.within_noise else ()


def tie_footnote(rows: Iterable[Sequence[Entry]]) -> dict[str, str]:
    """The footnote of a table in which a difference is marked as a tie; none where none is."""
    return {TIE_MARK: TIE_NOTE} if any(TIE_MARK in entry.marks for row in rows for entry in row) else {}


def paired_difference(sides: Sequence[Sides]) -> Difference:
    """Mean over pairs of left minus right. Its error comes from the spread over pairs, with one pair from that pair's own noise.

    Raises ValueError for no pairs.
    """
    sides = _made_once(sides)
    if len(sides) == 1:
        return difference(*sides[0])
    exact = all(left.exact and right.exact for left, right in sides)
    values = [left.mean - right.mean for left, right in sides]
    return _over_pairs(values, [_error(*side) for side in sides], [floor_of(*side) for side in sides], exact, none=0.0)


def paired_ratio(sides: Sequence[Sides]) -> Difference | None:
    """Mean over pairs of left over right, its error to first order (delta method); None where a right side is 0."""
    if any(right.mean == 0 for _, right in sides):
        return None
    sides = _made_once(sides)
    exact = all(left.exact and right.exact for left, right in sides)
    values = [left.mean / right.mean for left, right in sides]
    errors = [_of_ratio(*side, Sample.error) for side in sides]
    floors = [_of_ratio(*side, Sample.again) for side in sides]
    if len(sides) == 1:
        return difference_by(values[0], errors[0], floors[0], none=1.0)
    return _over_pairs(values, errors, floors, exact, none=1.0)


def _made_once(sides: Sequence[Sides]) -> list[Sides]:
    """Pairs of scores without those that repeat another to the last digit, where all repeat equally often: the seeds of an untuned model
    are one measurement, and would pass for many. The mean over pairs stays what it is."""
    if not all(left.quality for left, _ in sides):
        return list(sides)
    counts = Counter(sides)
    return list(counts) if len(set(counts.values())) == 1 else list(sides)


def _over_pairs(values: Sequence[float], errors: Sequence[Error | None], floors: Sequence[Error | None], exact: bool, none: float) -> Difference:
    sample = Sample(tuple(values), tuple(None if error is None else error.size for error in errors), exact)
    known = [floor.scaled(1 / len(values)) for floor in floors if floor is not None]
    floor = combined(known) if len(known) == len(values) else None
    return difference_by(sample.mean, sample.error(), floor, none=none)


def _error(left: Sample, right: Sample) -> Error | None:
    known = [error for error in (left.error(), right.error()) if error is not None]
    return combined(known) if len(known) == 2 else None


def _of_ratio(left: Sample, right: Sample, error: Callable[[Sample], Error | None]) -> Error | None:
    ours, theirs = error(left), error(right)
    if ours is None or theirs is None:
        return None
    return combined([ours.scaled(1 / right.mean), theirs.scaled(left.mean / right.mean**2)])
