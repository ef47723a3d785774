"""The bootstrap over items: how far a mean over them would move if other items had been drawn.

The bias-corrected and accelerated interval (BCa; Efron 1987, "Better bootstrap confidence intervals", as
scipy.stats.bootstrap computes it). Own code for its speed alone: a report may show ten thousand of these. Which items a
resample holds depends on nothing but their number, so it is drawn once per number of items, every interval over
as many items uses the same draws, and a report written twice says the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
KEPT_UP_TO = 2048  # items; the table of draws takes 32 MiB then
AT_ONCE = 4_000_000  # draws, where they are not kept

Floats: TypeAlias = npt.NDArray[np.float64]


def bootstrap_bounds(items: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Both ends of the BCa interval of the items' mean, whatever their order.

    None for fewer than two items, and for items that are all alike: these (every question answered right) resample to
    themselves, which says nothing of the noise. None too where an item is not finite.
    """
    ordered = tuple(sorted(items))
    if len(ordered) < 2 or ordered[0] == ordered[-1] or not all(map(math.isfinite, ordered)):
        return None
    return _bounds(ordered, confidence)


@lru_cache(maxsize=65536)  # of right and wrong answers there are only as many kinds as items
def _bounds(items: tuple[float, ...], confidence: float) -> tuple[float, float]:
    values = np.asarray(items, dtype=np.float64)
    sums = np.concatenate([draws @ values for draws in _draws(len(values))])
    low, high = np.quantile(sums, _levels(values, sums, confidence))
    return float(low) / len(values), float(high) / len(values)


def _levels(values: Floats, sums: Floats, confidence: float) -> Floats:
    """Which quantiles of the resamples are the interval's ends: corrected for bias and for skew (acceleration)."""
    from scipy.special import ndtr, ndtri

    total = values.sum()
    bias = ndtri(np.mean(sums < total) / 2 + np.mean(sums <= total) / 2)
    deviations = values - values.mean()
    acceleration = np.sum(deviations**3) / (6 * np.sum(deviations**2) ** 1.5)
    ends = bias + ndtri(np.array([0.5 - confidence / 2, 0.5 + confidence / 2]))
    levels: Floats = ndtr(bias + ends / (1 - acceleration * ends))
    return levels


def _draws(n: int) -> Iterator[Floats]:
    """How often each of n items is in each resample: blocks of rows that sum to n."""
    if n <= KEPT_UP_TO:
        yield _kept_draws(n)
        return
    rng = np.random.default_rng(n)
    rows = max(1, AT_ONCE // n)
    for start in range(0, RESAMPLES, rows):
        yield _counts(rng, min(rows, RESAMPLES - start), n)


@lru_cache(maxsize=3)
def _kept_draws(n: int) -> Floats:
    return _counts(np.random.default_rng(n), RESAMPLES, n)


def _counts(rng: np.random.Generator, rows: int, n: int) -> Floats:
    drawn = rng.integers(0, n, size=(rows, n)) + np.arange(rows)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
