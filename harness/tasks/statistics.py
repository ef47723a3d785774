"""Standard errors of metrics over the items of one evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # of the shape that the docstring says
RESAMPLES = 1000
_SEED = 0  # of the bootstrap: the same predictions always have the same standard error
_DRAWS_AT_ONCE = 2_000_000


def proportion_stderr(share: float, n: int) -> float:
    """Standard error of a share of n independent items: sqrt(p (1 - p) / n)."""
    return math.sqrt(share * (1 - share) / n)


def bootstrap_stderr(
    statistic: Callable[[Array, Array], Array], left: Array, right: Array
) -> float | None:
    """Standard deviation of a statistic over 1,000 resamples of the pairs (left[i], right[i]), seeded.

    statistic: two arrays of shape (resamples, n) -> shape (resamples,), NaN where undefined. None when it was
    undefined in more than a tenth of the resamples. Source: Efron 1979, nonparametric bootstrap.
    """
    n = len(left)
    generator = np.random.default_rng(_SEED)
    at_once = max(1, min(RESAMPLES, _DRAWS_AT_ONCE // n))
    values: list[float] = []
    while len(values) < RESAMPLES:
        drawn = generator.integers(0, n, size=(min(at_once, RESAMPLES - len(values)), n))
        values.extend(statistic(left[drawn], right[drawn]))
    finite = np.array(values)[np.isfinite(values)]
    return float(finite.std(ddof=1)) if len(finite) >= 0.9 * RESAMPLES else None
