"""The largest size that fits, found with few trials."""

from __future__ import annotations

import math

import pytest

from harness.runs.fit_search import Largest, Search, largest, length_unit


def found(search: Search, capacity: int) -> tuple[Largest, list[int]]:
    """What the search finds where everything up to `capacity` fits, and what it tried."""
    tried = [next(search)]
    try:
        while True:
            tried.append(search.send(tried[-1] <= capacity))
    except StopIteration as end:
        result: Largest = end.value
        return result, tried


@pytest.mark.parametrize("start", [1, 3, 8, 100])
@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 8, 9, 63, 64, 100, 999])
def test_it_finds_the_very_size(start: int, capacity: int) -> None:
    result, tried = found(largest(start, bound=1024), capacity)
    assert result == Largest(capacity)
    assert len(tried) == len(set(tried)), "no size is tried twice"
    assert len(tried) <= 2 * math.log2(1024) + 2


def test_what_fits_at_the_bound_may_be_larger_still() -> None:
    assert found(largest(3, bound=50), 10_000) == (Largest(50, is_bound=True), [3, 6, 12, 24, 48, 50])


def test_a_start_above_the_bound_begins_there() -> None:
    assert found(largest(100, bound=50), 10_000) == (Largest(50, is_bound=True), [50])


@pytest.mark.parametrize("start", [1, 16])
def test_where_nothing_fits_it_ends_with_the_smallest(start: int) -> None:
    result, tried = found(largest(start, bound=1024), 0)
    assert result == Largest(None)
    assert tried[-1] == 1


@pytest.mark.parametrize(("capacity", "size"), [(64, 64), (1000, 960), (1023, 960), (1024, 1024), (63, None)])
def test_lengths_are_found_to_the_unit(capacity: int, size: int | None) -> None:
    result, tried = found(largest(250, bound=2048, unit=64), capacity)
    assert result.size == size
    assert all(length % 64 == 0 for length in tried)


def test_a_bound_that_is_no_multiple_is_tried_itself() -> None:
    assert found(largest(64, bound=510, unit=64), 10_000) == (Largest(510, is_bound=True), [64, 128, 256, 510])
    assert found(largest(64, bound=510, unit=64), 500)[0] == Largest(448)


@pytest.mark.parametrize(("bound", "unit"), [(8192, 64), (2048, 64), (512, 16), (128, 4), (20, 1), (1, 1)])
def test_short_contexts_are_searched_in_small_steps(bound: int, unit: int) -> None:
    assert length_unit(bound) == unit
