"""Means, deviations and intervals, checked against scipy and against what cannot be known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.analysis.statistics import (
    Error,
    Sample,
    combined,
    difference,
    mean,
    sample_std,
    standard_error,
    t_interval,
)

FINITE = st.floats(-1e6, 1e6)


def test_one_value_has_a_mean_and_no_deviation_error_or_interval() -> None:
    assert mean([3.0]) == 3.0
    assert (sample_std([3.0]), standard_error([3.0]), t_interval([3.0])) == (None, None, None)
    assert Sample((3.0,), (None,)).error() is None


def test_the_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        mean([])


@settings(deadline=None)
@given(st.lists(FINITE, min_size=2, max_size=20))
def test_the_t_interval_is_scipys(values: list[float]) -> None:
    found = t_interval(values)
    assert found is not None
    error = stats.sem(values)
    if error > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=mean(values), scale=error)
        assert (found.low, found.high) == (pytest.approx(low, rel=1e-6, abs=1e-6), pytest.approx(high, rel=1e-6, abs=1e-6))


def test_the_difference_of_two_samples_is_welchs() -> None:
    left, right = (0.81, 0.79, 0.84, 0.80), (0.70, 0.78, 0.74)
    expected = stats.ttest_ind(left, right, equal_var=False).confidence_interval(0.95)
    found = difference(Sample(left), Sample(right))
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_one_seed_each_uses_the_standard_errors_over_items() -> None:
    found = difference(Sample((0.80,), (0.03,)), Sample((0.70,), (0.04,)))
    assert found.interval is not None
    assert found.interval.low == pytest.approx(0.10 - stats.norm.ppf(0.975) * 0.05)
    assert found.within_noise is False


def test_without_any_noise_estimate_a_difference_is_neither_equal_nor_significant() -> None:
    found = difference(Sample((0.8,), (None,)), Sample((0.7,), (0.02,)))
    assert (found.interval, found.within_noise) == (None, None)


def test_repetitions_that_agree_to_the_last_digit_do_not_hide_the_noise_over_items() -> None:
    error = Sample((0.5, 0.5, 0.5), (0.03, 0.03, 0.03)).error()
    assert error == (pytest.approx(0.03), math.inf, None)


def test_a_count_has_no_noise() -> None:
    assert Sample((10.0,), exact=True).error() == Error(0.0, math.inf)


def measured(*items: float) -> Sample:
    """One measurement over these items, with the standard error that they have."""
    return Sample((mean(items),), (standard_error(items),), items=(items,))


def test_two_measurements_on_the_same_items_are_compared_item_by_item() -> None:
    """Items differ by hundreds, the two sides by one, always."""
    left, right = measured(100.0, 900.0, 401.0), measured(101.0, 901.0, 402.5)
    paired = difference(left, right)
    assert paired.value == pytest.approx(-3.5 / 3)
    over_items = t_interval([-1.0, -1.0, -1.5])
    assert paired.interval is not None
    assert over_items is not None
    assert (paired.interval.low, paired.interval.high) == pytest.approx((over_items.low, over_items.high))
    assert difference(left, replace(right, items=())).within_noise


def test_items_are_not_laid_beside_a_spread_over_seeds_or_other_items() -> None:
    left = measured(1.0, 2.0, 3.0)
    for other in (measured(1.0, 2.0), Sample((1.0, 2.0), (0.5, 0.5), items=((0.0, 2.0, 1.0), (1.0, 2.0, 3.0)))):
        assert difference(left, other) == difference(replace(left, items=()), replace(other, items=()))


def test_errors_add_in_squares_with_satterthwaites_degrees_of_freedom() -> None:
    found = combined([Error(3.0, 4), Error(4.0, 9)])
    assert found == (pytest.approx(5.0), pytest.approx(5.0**4 / (3.0**4 / 4 + 4.0**4 / 9)), None)
    assert combined([Error(3.0, math.inf), Error(4.0, math.inf)]) == Error(5.0, math.inf)
    assert combined([Error(0.0, 1), Error(0.0, 1)]) == Error(0.0, math.inf)


def test_errors_from_one_estimate_add_in_squares_and_share_its_degrees_of_freedom() -> None:
    one, other = Error(3.0, 4, "pool"), Error(4.0, 4, "pool")
    assert combined([one, other]) == (5.0, 4, "pool"), "Satterthwaite's for independent ones would be 7.4"
    beside = combined([one, other, Error(5.0, 9)])
    assert beside.size == pytest.approx(50**0.5)
    assert beside.degrees == pytest.approx(50**2 / (25**2 / 4 + 25**2 / 9))
    assert beside.estimate is None


def test_the_error_of_a_perplexity_that_exploded_does_not_overflow() -> None:
    assert combined([Error(1e200, 4), Error(1e200, 4)]) == (pytest.approx(math.sqrt(2) * 1e200), pytest.approx(8.0), None)
