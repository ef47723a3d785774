"""Which rows begin with the same tokens, and are worth reading them once for all: the shots of a subject, a long passage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.tasks.statistics import Array

OWN_PASS = 512  # tokens that must be saved before a beginning is worth a forward pass of its own
LEAST_SHARE = 0.25  # of a group's tokens that must be saved: its rows no longer share batches with all others


@dataclass(frozen=True)
class Beginning:
    """`length` tokens that all of `rows` begin with."""

    length: int
    rows: tuple[int, ...]


def shared_beginnings(sequences: Sequence[Array], read: Sequence[int]) -> list[Beginning]:
    """The beginnings that save most of what is read, no row in more than one.

    sequences: of each row the tokens that may be shared. read: how many tokens it has in all.

    In lexicographic order, rows with a common beginning are neighbours, and such neighbourhoods lie within each other:
    all rows, those of a subject, those of a question. Inner ones give way to an outer one that saves more.
    Source: the traversal of LCP intervals of Abouelhoda et al. 2004, "Replacing suffix trees with enhanced suffix arrays", sec. 3.
    """
    order = sorted(range(len(sequences)), key=lambda row: sequences[row].astype(">u4").tobytes())
    before = [0]  # tokens read by the rows up to each place of the order
    for row in order:
        before.append(before[-1] + read[row])
    stack = [_Neighbours(0, 0)]
    for end, shared in enumerate(_shared_with_next(sequences, order), 1):
        first, inner = end - 1, None
        while stack[-1].shared > shared:
            inner = stack.pop()
            inner.close(end, before[end] - before[inner.first])
            first = inner.first
            if stack[-1].shared >= shared:
                stack[-1].take(inner)
                inner = None
        if stack[-1].shared < shared:
            stack.append(_Neighbours(shared, first))
            if inner is not None:
                stack[-1].take(inner)
    return [Beginning(length, tuple(order[first:end])) for length, first, end in stack[0].found]


@dataclass
class _Neighbours:
    """Rows from place `first` of the order on, which share `shared` tokens; found: the best beginnings within, each with its
    length and its first and last place, which save `saved` tokens together."""

    shared: int
    first: int
    saved: int = 0
    found: list[tuple[int, int, int]] = field(default_factory=list)

    def take(self, inner: _Neighbours) -> None:
        self.saved += inner.saved
        self.found += inner.found

    def close(self, end: int, read: int) -> None:
        """All rows up to `end` as one group, where that saves more than the groups within. read: tokens of all its rows."""
        saved = (end - self.first - 1) * self.shared
        if saved >= max(OWN_PASS, LEAST_SHARE * read) and saved - OWN_PASS > self.saved:
            self.saved, self.found = saved - OWN_PASS, [(self.shared, self.first, end)]


def _shared_with_next(sequences: Sequence[Array], order: Sequence[int]) -> Iterator[int]:
    """How many tokens each row of the order begins with that the next one does too; 0 for the last."""
    import numpy as np

    for row, following in pairwise(order):
        shortest = min(len(sequences[row]), len(sequences[following]))
        different = np.flatnonzero(sequences[row][:shortest] != sequences[following][:shortest])
        yield int(different[0]) if len(different) else shortest
    yield 0
