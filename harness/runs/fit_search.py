"""Searching the largest size that fits: doubled as long as it does, then bisected. What a trial is, is the caller's business."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

MOST_LENGTHS_APART = 64  # tokens: no finer question is worth a process of its own
LENGTHS_TRIED = 32  # a short context is searched in as many steps at least


@dataclass(frozen=True)
class Largest:
    """The largest size that fitted, None where not even the smallest did. is_bound: none larger was to be tried."""

    size: int | None
    is_bound: bool = False


Search: TypeAlias = Generator[int, bool, Largest]


def largest(start: int, bound: int, unit: int = 1) -> Search:
    """Yields the sizes to try, one after the other, is sent whether each fitted, and returns what it found.

    Sizes are multiples of `unit`, the first one `start` rounded down to one (at least one unit), and none is above `bound`, which
    itself is tried whether a multiple or not. It is assumed that what is smaller than a size that fits, fits.
    """
    bound = max(bound, unit)
    size = min(max(start // unit, 1) * unit, bound)
    fits = 0
    while (yield size):
        fits = size
        if size == bound:
            return Largest(size, is_bound=True)
        size = min(2 * size, bound)
    too_large = size
    while fits == 0 and too_large > unit:
        size = max(too_large // unit // 2, 1) * unit
        if (yield size):
            fits = size
        else:
            too_large = size
    while too_large - fits > unit and fits > 0:
        size = fits + max((too_large - fits) // unit // 2, 1) * unit
        if (yield size):
            fits = size
        else:
            too_large = size
    return Largest(fits or None)


def length_unit(bound: int) -> int:
    """Lengths are searched in multiples of that many tokens: a power of two, smaller where the longest is short."""
    unit = 1
    while unit < MOST_LENGTHS_APART and 2 * unit * LENGTHS_TRIED <= bound:
        unit *= 2
    return unit
