"""The interval of the overhead's median."""

from __future__ import annotations

import pytest
from scipy.stats import binom
from telemetry_overhead import interval_of_median


@pytest.mark.parametrize("n", [6, 7, 20, 60, 61, 150])
def test_the_interval_holds_the_median_with_95_percent_and_no_narrower_one_does(n: int) -> None:
    lower, upper = interval_of_median([float(rank) for rank in reversed(range(n))])
    assert lower + upper == n - 1, "as many values below as above"

    def outside(rank: float) -> float:
        """Probability that the median lies below the value of that rank, counted from 0, or above its mirror image."""
        return float(2 * binom.cdf(rank, n, 0.5))

    assert outside(lower) <= 0.05 < outside(lower + 1)


def test_of_few_pairs_all_are_within_it() -> None:
    assert interval_of_median([1.02, 0.98, 1.0, 1.01]) == (0.98, 1.02)
