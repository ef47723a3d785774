"""How likely a difference is by noise alone: a p-value for every number, and which of all of them are more than noise.

The noise of a number, the first that is known (docs/gate.md has the reasons):

    a count      has none
    A/A          what repeats of the baseline showed (`harness noise`), pooled over its cells
    seeds        the spread of the differences between equal seeds, pooled over configurations: relative for costs, by task for scores
    items        of a score evaluated once: item by item, else by its standard error

A score must exceed both what repeats show and what its items or seeds show: a model that repeats exactly is still judged by a
sample of items. Where both sides were repeated often, times are compared by ranks (Mann-Whitney), which a few slow repeats don't move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from harness.analysis.gate.numbers import Number
from harness.analysis.noise import Pool, PoolKey, pools
from harness.analysis.statistics import ROUNDING, Error, error_of_difference, mean, sample_std
from harness.records.noise import Noise, Repeated

FEWEST_FOR_RANKS = 8  # repeats a side: below, no order of them is unlikely enough among dozens of numbers
SeedKey: TypeAlias = tuple[str, str | None]  # address, task of a score


@dataclass(frozen=True)
class Chance:
    """p: probability of a difference as large by noise alone, two-sided; None where the noise is unknown. by: what the noise was told by."""

    p: float | None
    by: str


class NoiseOfSides:
    """The noise of all numbers of one comparison."""

    def __init__(self, numbers: Sequence[Number], left: Noise | None, right: Noise | None) -> None:
        """left, right: A/A repeats of the baseline and of the run; those of the run count where the baseline has none."""
        noise = left or right
        self._pools: Mapping[PoolKey, Pool] = pools(noise) if noise is not None else {}
        self._cells = {cell.id: cell.quantities for cell in noise.cells} if noise is not None else {}
        self._repeats = tuple({cell.id: cell.quantities for cell in side.cells} if side is not None else {} for side in (left, right))
        self._seeds = _spread_over_seeds(numbers)

    def chance(self, number: Number) -> Chance:
        """The p-value of the number's difference."""
        if number.quantity.exact:
            return Chance(float(not _differs(number)), "a count")
        ranks = self._by_ranks(number)
        if ranks is not None:
            return ranks
        again, sampled = self._again(number), self._sampled(number)
        told = [(again, "A/A repeats")] if again is not None else []
        told += [sampled] if sampled is not None and (again is None or number.quantity.quality) else []
        if not told:
            return Chance(None, "unknown")
        return max((Chance(_p(number, error), by) for error, by in told), key=lambda chance: chance.p or 0.0)

    def _again(self, number: Number) -> Error | None:
        """The error of the difference that repeats show: the pooled spread, the cell's own where that is larger."""
        key = number.quantity.key
        pool = self._pools.get((key, None, number.protocol)) or self._pools.get((key, number.task, number.protocol))
        if pool is None:
            return None
        own = [found.std for pair in number.pairs if (found := self._cells.get(pair.left.record.cell.id, {}).get(key)) is not None]
        size = max([pool.around(number.left.mean).size, *own])
        return Error(size * math.sqrt(2 / len(number.pairs)), pool.spread.degrees)

    def _sampled(self, number: Number) -> tuple[Error, str] | None:
        """The error of the difference by seeds; of a score that was evaluated once, or is the same under every seed, by its items."""
        left, right, quality = number.left, number.right, number.quantity.quality
        if left.n > 1 and not (quality and left.repeats and right.repeats):
            pooled = self._seeds.get(_seed_key(number))
            return None if pooled is None else (pooled.scaled(_scale(number) / math.sqrt(left.n)), "seeds")
        if not quality:
            return None
        error = error_of_difference(left.singles()[0], right.singles()[0])
        return None if error is None else (error, "items")

    def _by_ranks(self, number: Number) -> Chance | None:
        if number.quantity.unit not in ("s", "ms", "1/s") or len(number.pairs) > 1:
            return None
        key, id_ = number.quantity.key, number.pairs[0].left.record.cell.id
        sides: list[Repeated | None] = [side.get(id_, {}).get(key) for side in self._repeats]
        values = [found.values for found in sides if found is not None and found.n >= FEWEST_FOR_RANKS]
        if len(values) < 2:
            return None
        from scipy.stats import mannwhitneyu

        return Chance(float(mannwhitneyu(*values).pvalue), "ranks of repeats")


def holm(chances: Sequence[float], alpha: float) -> list[bool]:
    """Which p-values are small enough that with probability 1 - alpha none of them is by chance (Holm 1979), in their order."""
    rejected = [False] * len(chances)
    for rank, at in enumerate(sorted(range(len(chances)), key=lambda at: chances[at])):
        if chances[at] > alpha / (len(chances) - rank):
            break
        rejected[at] = True
    return rejected


def _p(number: Number, error: Error) -> float:
    """Student's t, two-sided; a noise of 0 leaves no chance to any difference."""
    if not _differs(number):
        return 1.0
    if error.size == 0.0:
        return 0.0
    from scipy.special import ndtr, stdtr

    t = -abs(number.difference) / error.size
    return 2 * float(ndtr(t) if math.isinf(error.degrees) else stdtr(error.degrees, t))


def _differs(number: Number) -> bool:
    """Whether there is more than what decimals lose in binary."""
    return abs(number.difference) > ROUNDING * max(abs(number.left.mean), abs(number.right.mean))


def _spread_over_seeds(numbers: Sequence[Number]) -> dict[SeedKey, Error]:
    """Standard deviation of the difference between two cells of one seed, pooled over configurations that have several."""
    groups: dict[SeedKey, list[tuple[float, int]]] = {}
    for number in numbers:
        if len(number.pairs) > 1 and _scale(number):
            changes = [(right - left) / _scale(number) for left, right in zip(number.left.values, number.right.values, strict=True)]
            groups.setdefault(_seed_key(number), []).append(((sample_std(changes) or 0.0) ** 2, len(changes) - 1))
    pooled = {}
    for key, found in groups.items():
        degrees = sum(freedom for _, freedom in found)
        pooled[key] = Error(math.sqrt(math.fsum(variance * freedom for variance, freedom in found) / degrees), degrees)
    return pooled


def _seed_key(number: Number) -> SeedKey:
    return number.quantity.key, number.task if number.quantity.quality else None


def _scale(number: Number) -> float:
    """What spreads are relative to: a cost's level, and 1 for a score."""
    return 1.0 if number.quantity.quality else abs(mean(number.left.values))
