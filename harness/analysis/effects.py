"""What one choice changes against another: pairs of samples, their mean difference or ratio, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
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
    return _over_pairs(values, (_error(*side) for side in sides), (floor_of(*side) for side in sides), exact, none=0.0)


def paired_ratio(sides: Sequence[Sides]) -> Difference | None:
    """Mean over pairs of left over right, its error to first order (delta method); None where a right side is 0."""
    if any(right.mean == 0 for _, right in sides):
        return None
    sides = _made_once(sides)
    exact = all(left.exact and right.exact for left, right in sides)
    values = [left.mean / right.mean for left, right in sides]
    errors = (_error_of_ratio(*side) for side in sides)
    floors = (_floor_of_ratio(*side) for side in sides)
    if len(sides) == 1:
        return difference_by(values[0], next(errors), next(floors), none=1.0)
    return _over_pairs(values, errors, floors, exact, none=1.0)


def _made_once(sides: Sequence[Sides]) -> list[Sides]:
    """Pairs of scores without those that repeat another to the last digit, where all repeat equally often: the seeds of an untuned model
    are one measurement, and would pass for many. The mean over pairs stays what it is."""
    if not all(left.quality for left, _ in sides):
        return list(sides)
    counts = Counter(sides)
    return list(counts) if len(set(counts.values())) == 1 else list(sides)


def _over_pairs(values: Sequence[float], errors: Iterable[Error | None], floors: Iterable[Sequence[Error] | None], exact: bool, none: float) -> Difference:
    """errors, floors: of every pair; looked at only where they count, since there may be thousands of pairs."""
    sample = Sample(tuple(values), exact=exact)
    if sample.repeats:
        sample = replace(sample, stderrs=tuple(None if error is None else error.size for error in errors))
    return difference_by(sample.mean, sample.error(), _floor_of_mean(floors, len(values)), none=none)


def _floor_of_mean(floors: Iterable[Sequence[Error] | None], pairs: int) -> list[Error] | None:
    """The floor of the mean over so many pairs, from each one's; None where one has none."""
    found: list[Error] = []
    for floor in floors:
        if floor is None:
            return None
        found.extend(error.scaled(1 / pairs) for error in floor)
    return found


def _error(left: Sample, right: Sample) -> Error | None:
    known = [error for error in (left.error(), right.error()) if error is not None]
    return combined(known) if len(known) == 2 else None


def _error_of_ratio(left: Sample, right: Sample) -> Error | None:
    ours, theirs = left.error(), right.error()
    return None if ours is None or theirs is None else combined(_of_ratio(left, right, [ours], [theirs]))


def _floor_of_ratio(left: Sample, right: Sample) -> list[Error] | None:
    ours, theirs = left.again(), right.again()
    return None if ours is None or theirs is None else _of_ratio(left, right, ours, theirs)


def _of_ratio(left: Sample, right: Sample, ours: Sequence[Error], theirs: Sequence[Error]) -> list[Error]:
    """The errors of left over right to first order, from those of both sides."""
    return [*(error.scaled(1 / right.mean) for error in ours), *(error.scaled(left.mean / right.mean**2) for error in theirs)]
