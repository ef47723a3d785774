"""Low-data subsets: which rows of a training split are trained on, and which are kept to choose a checkpoint by."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from harness.errors import DataError


@dataclass(frozen=True)
class Carved:
    """Indices of the rows trained on and of the dev rows, ascending, none in both."""

    training: list[int]
    dev: list[int]


def carve(total: int, seed: int, *, training: int | None, dev: int = 0, strata: Sequence[Hashable] | None = None) -> Carved:
    """Rows of range(total), drawn by the seed without replacement: `dev` of them, and `training` of the others (None, or too
    many: all others).

    strata: the class of each row; then each class has its share of both, as `shares` says, and none loses its only row to
    dev. None: all rows are alike. The dev rows depend on the seed and their number alone, not on how many are trained on, so that
    subsets of all sizes choose by the same ones. Raises DataError where dev rows would leave a class none to train on.
    """
    import numpy as np

    classes: dict[Hashable, list[int]] = {}
    for index in np.random.default_rng(seed).permutation(total).tolist():
        classes.setdefault(None if strata is None else strata[index], []).append(index)
    members = [classes[name] for name in sorted(classes, key=str)]
    most = total - len(members)
    if dev > most:
        few = f"one row of each of {len(members)} classes" if len(members) > 1 else "one row"
        raise DataError(f"max_dev_samples: {dev} of {total} rows leave too few to train on: at most {most}, so that {few} is left")
    # From the two ends of one order: neither part moves when the other grows.
    kept = shares([len(rows) - 1 for rows in members], dev)
    left = [rows[: len(rows) - count] for rows, count in zip(members, kept, strict=True)]
    available = total - dev
    taken = shares([len(rows) for rows in left], available if training is None else min(training, available))
    return Carved(
        training=sorted(index for rows, count in zip(left, taken, strict=True) for index in rows[:count]),
        dev=sorted(index for rows, count in zip(members, kept, strict=True) for index in rows[len(rows) - count :]),
    )


def shares(sizes: Sequence[int], count: int) -> list[int]:
    """How many of `count` rows each class gives, in proportion to its size, by largest remainders (Hamilton's method).

    Where count allows, a class that has a row gives at least one, at the cost of the class that gives most. Needs count <= sum(sizes).
    """
    total = sum(sizes)
    assert count <= total, "more rows than there are"
    if not count:
        return [0] * len(sizes)
    parts = [divmod(count * size, total) for size in sizes]
    given = [whole for whole, _ in parts]
    by_remainder = sorted(range(len(sizes)), key=lambda at: -parts[at][1])  # a stable sort: the first of equals
    for at in by_remainder[: count - sum(given)]:
        given[at] += 1
    empty = [at for at, size in enumerate(sizes) if size and not given[at]]
    if count >= sum(1 for size in sizes if size):
        for at in empty:
            given[given.index(max(given))] -= 1
            given[at] = 1
    return given
