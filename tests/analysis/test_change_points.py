"""Change points: steps are found where they are, noise is left alone at the stated rate."""

from __future__ import annotations

from itertools import pairwise

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.change_points import change_points


def places(values: list[float]) -> list[int]:
    return [change.at for change in change_points(values)]


def test_a_step_well_above_the_noise_is_found_at_its_place() -> None:
    values = [*numpy.random.default_rng(0).normal(10, 0.1, 9), *numpy.random.default_rng(1).normal(10.8, 0.1, 7)]
    assert places(values) == [9]


def test_two_steps_are_both_found() -> None:
    random = numpy.random.default_rng(2)
    values = [*random.normal(10, 0.1, 12), *random.normal(11, 0.1, 12), *random.normal(9, 0.1, 12)]
    assert places(values) == [12, 24]


def test_without_noise_the_second_measurement_of_a_new_level_is_enough() -> None:
    assert places([0.85, 0.85, 0.85, 0.85, 0.80]) == []
    assert places([0.85, 0.85, 0.85, 0.85, 0.80, 0.80]) == [4]
    assert change_points([1.0, 1.0, 2.0, 2.0])[0].p == 0.0


def test_one_odd_measurement_is_no_change_of_level() -> None:
    assert places([1.0, 1.01, 0.99, 1.0, 5.0, 1.0, 1.01, 0.99]) == []


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 9.0, 9.0], [3.0] * 50, [0.1 + 0.2, 0.3, 0.3, 0.1 + 0.2, 0.3]])
def test_few_or_equal_values_have_no_change(values: list[float]) -> None:
    assert places(values) == []


def test_false_alarms_come_at_most_at_the_stated_rate() -> None:
    random = numpy.random.default_rng(3)
    alarms = sum(bool(change_points(list(random.normal(100, 5, 20)))) for _ in range(300))
    assert alarms <= 3 + 3 * 3**0.5  # 1 % of 300, and three standard deviations of a Poisson count


def test_a_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        change_points([1.0, float("nan"), 1.0, 1.0])


@given(st.lists(st.floats(-1e6, 1e6), max_size=25), st.floats(0.5, 1e3), st.floats(-1e3, 1e3))
def test_levels_have_two_measurements_and_places_are_in_order(values: list[float], scale: float, shift: float) -> None:
    edges = [0, *places([scale * value + shift for value in values]), len(values)]
    assert edges == sorted(edges)
    assert len(edges) == 2 or min(end - begin for begin, end in pairwise(edges)) >= 2
