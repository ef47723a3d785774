"""How likely a difference is by noise alone: a p-value for every number, and which of all of them are more than noise.

The noise of a number, the first that is known (docs/gate.md has the reasons):

    a count      has none
    A/A          what repeats of the baseline showed (`harness noise`), pooled over its cells
    seeds        the spread of the differences between equal seeds, pooled over configurations: relative for costs, by task for scores
    items        of a score: item by item, else by its standard error; of several seeds together with their spread

A score must exceed both what repeats show and what its items and seeds show: a model that repeats exactly is still judged by a
sample of items. Where both sides were repeated often, times are compared by ranks (Mann-Whitney), which a few slow repeats don't move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from harness.analysis.gate.numbers import Number
from harness.analysis.noise import Pool, PoolKey, pools
from harness.analysis.statistics import ROUNDING, Error, difference_by_items, mean, sample_std
from harness.records.noise import Noise, Repeated

FEWEST_FOR_RANKS = 8  # repeats a side: below, no order of them is unlikely enough among dozens of numbers
FEWEST_DEGREES = 8  # of freedom: below, next to no change is large enough among dozens of numbers
LIKELY = 0.05  # of a single number by noise alone
ITEMS_WEIGHT = 8  # degrees of freedom that the items of a score stand for beside its seeds
SeedKey: TypeAlias = tuple[str, str | None]  # address, task of a score


@dataclass(frozen=True)
class Chance:
    """p: probability of a difference as large by noise alone, two-sided; None where the noise is unknown. by: what the noise was told by.

    degrees: of freedom that the noise is known with; infinite where p does not rest on an estimate of it.
    """

    p: float | None
    by: str
    degrees: float = math.inf


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
        return max((Chance(_p(number, error), by, error.degrees) for error, by in told), key=lambda chance: chance.p or 0.0)

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
        """The error of the difference by items, by seeds, or by both; None for a cost of one seed."""
        left, right = number.left, number.right
        items = difference_by_items(left, right) if number.quantity.quality else None
        if left.n == 1 or (number.quantity.quality and left.repeats and right.repeats):
            return None if items is None else (items, "items")
        seeds = self._over_seeds(number)
        if seeds is None or not (items and items.size):
            return None if seeds is None else (seeds, "seeds")
        return _moderated(seeds, items), "seeds and items"

    def _over_seeds(self, number: Number) -> Error | None:
        """The pooled spread, the configuration's own where that is larger."""
        pooled = self._seeds.get(_seed_key(number))
        if pooled is None:
            return None
        own = sample_std(_changes(number)) or 0.0
        return Error(max(pooled.size, own) * _scale(number) / math.sqrt(number.left.n), pooled.degrees)

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
        evaluated_again = number.quantity.quality and number.left.repeats and number.right.repeats  # untuned: it has no spread to add
        if len(number.pairs) > 1 and _scale(number) and not evaluated_again:
            changes = _changes(number)
            groups.setdefault(_seed_key(number), []).append(((sample_std(changes) or 0.0) ** 2, len(changes) - 1))
    pooled = {}
    for key, found in groups.items():
        degrees = sum(freedom for _, freedom in found)
        pooled[key] = Error(math.sqrt(math.fsum(variance * freedom for variance, freedom in found) / degrees), degrees)
    return pooled


def _changes(number: Number) -> list[float]:
    """The run less the baseline for every seed: relative for a cost."""
    return [(right - left) / _scale(number) for left, right in zip(number.left.values, number.right.values, strict=True)]


def _moderated(seeds: Error, items: Error) -> Error:
    """The variance over seeds drawn towards that by items, and never below it: two seeds alone would see no change, however large.

    Source: the moderated t of Smyth 2004 (Stat. Appl. Genet. Mol. Biol. 3:3), its prior the items with a fixed weight.
    """
    degrees = ITEMS_WEIGHT + seeds.degrees
    variance = (ITEMS_WEIGHT * items.size**2 + seeds.degrees * seeds.size**2) / degrees
    return Error(max(items.size, math.sqrt(variance)), degrees)


def _seed_key(number: Number) -> SeedKey:
    return number.quantity.key, number.task if number.quantity.quality else None


def _scale(number: Number) -> float:
    """What spreads are relative to: a cost's level, and 1 for a score."""
    return 1.0 if number.quantity.quality else abs(mean(number.left.values))
