"""The two sides of a claim: which cells they are, and which of them belong together.

A side is the cells whose ids match its `where` (globs; of a list any may match). Two cells make a pair when they
agree on every axis but those that both sides name, or that one names and the other does not have: with `left: {quantization: nf4}` and `right: {quantization:
none, method: lora-r8}` the quantization differs and the method is lora-r8 on both sides. Seeds pair with equal
seeds where both sides have them; otherwise the sides are compared unpaired. Where several cells of a side share
a place (a glob), their mean stands for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.columns import Row
from harness.analysis.groups import axes_of, group_by
from harness.suite.exclude import matches
from harness.suite.schema import Measured, Pattern


@dataclass(frozen=True)
class Pair:
    """Cells that are compared with each other."""

    left: tuple[Row, ...]
    right: tuple[Row, ...]


@dataclass(frozen=True)
class Pairing:
    """All that a claim compares. by_seed: whether seeds were paired too."""

    pairs: tuple[Pair, ...]
    by_seed: bool

    @property
    def left(self) -> list[Row]:
        """Every cell of the left side that has a partner."""
        return [row for pair in self.pairs for row in pair.left]

    @property
    def right(self) -> list[Row]:
        """Every cell of the right side that has a partner."""
        return [row for pair in self.pairs for row in pair.right]


def select(rows: Sequence[Row], where: Mapping[str, Pattern]) -> list[Row]:
    """The cells whose ids match on every axis that `where` names; a cell without such an axis does not."""
    return [
        row for row in rows if all(axis in row.axes and matches(glob, row.axes[axis]) for axis, glob in where.items())
    ]


def pair_up(left: Sequence[Row], right: Sequence[Row], both_name: set[str]) -> Pairing:
    """Pairs the sides on all axes but those of `both_name`; without the seed where no seeds agree."""
    axes = [axis for axis in axes_of([*left, *right]) if axis not in both_name]
    found = _on(left, right, axes)
    if found or "seed" not in axes:
        return Pairing(found, by_seed="seed" in axes)
    return Pairing(_on(left, right, [axis for axis in axes if axis != "seed"]), by_seed=False)


def free_axes(left: Measured, ours: Sequence[Row], right: Measured, theirs: Sequence[Row]) -> set[str]:
    """The axes on which the sides of a claim may differ: those that both name, and those that one names and no cell of the
    other has (a swept field of a scheme, against unquantized weights)."""
    lacking = {axis for axis in left.where if not any(axis in row.axes for row in theirs)}
    lacking |= {axis for axis in right.where if not any(axis in row.axes for row in ours)}
    return set(left.where) & set(right.where) | lacking


def _on(left: Sequence[Row], right: Sequence[Row], axes: Sequence[str]) -> tuple[Pair, ...]:
    partners = group_by(right, axes)
    return tuple(
        Pair(tuple(found), tuple(partners[where])) for where, found in group_by(left, axes).items() if where in partners
    )
