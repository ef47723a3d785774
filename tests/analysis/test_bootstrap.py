"""The bootstrap over items: against scipy's, against the truth, and where it has nothing to say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.analysis.bootstrap import KEPT_UP_TO, bootstrap_bounds
from harness.analysis.statistics import Sample, mean


@pytest.mark.parametrize("kind", ["right or wrong", "skewed"])
def test_the_interval_is_scipys_bca(kind: str) -> None:
    rng = np.random.default_rng(1)
    values = (rng.random(277) < 0.9).astype(float) if kind == "right or wrong" else rng.exponential(size=100)
    scipys = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", random_state=2)
    found = bootstrap_bounds(values.tolist())
    assert found == pytest.approx(tuple(scipys.confidence_interval), abs=0.25 * scipys.standard_error), "two bootstraps differ by their own draws"


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    truth, covered = 0.8, 0
    for _ in range(300):
        bounds = bootstrap_bounds((rng.random(150) < truth).astype(float).tolist())
        assert bounds is not None
        covered += bounds[0] <= truth <= bounds[1]
    assert 0.91 <= covered / 300 <= 0.98


def test_more_items_than_are_kept_are_drawn_in_blocks_with_the_same_meaning() -> None:
    values = np.tile([0.0, 1.0, 1.0, 1.0], KEPT_UP_TO)
    normal = 1.96 * values.std() / np.sqrt(len(values))
    assert bootstrap_bounds(values.tolist()) == pytest.approx((0.75 - normal, 0.75 + normal), abs=0.15 * normal)


def test_a_report_that_is_written_again_says_the_same_whatever_the_order_of_the_items() -> None:
    values = np.random.default_rng(4).normal(size=60).tolist()
    assert bootstrap_bounds(values) == bootstrap_bounds(values[::-1])


@pytest.mark.parametrize("items", [[], [1.0], [1.0] * 50, [0.0, float("nan"), 1.0]])
def test_items_that_say_nothing_of_the_noise_have_no_interval(items: list[float]) -> None:
    assert bootstrap_bounds(items) is None


def test_the_interval_lies_about_the_metrics_value_where_the_items_mean_is_that_to_first_order_only() -> None:
    items = (1.0, 2.0, 4.0, 3.0, 5.0, 2.5)
    plain, shifted = Sample((mean(items),), items=(items,)).interval(), Sample((mean(items) + 10,), items=(items,)).interval()
    assert plain is not None
    assert shifted is not None
    assert (shifted.low, shifted.high) == pytest.approx((plain.low + 10, plain.high + 10))


def test_over_seeds_the_interval_is_students_t_and_a_count_has_none() -> None:
    values = (0.7, 0.72, 0.77)
    found = Sample(values, items=((0.0, 1.0),) * 3).interval()
    assert found is not None
    expected = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert Sample((10.0,), exact=True).interval() is None
