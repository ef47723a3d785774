"""limits.memory_bytes and measure.fit: how they are written, and that cells which do without keep their ids."""

from __future__ import annotations

import pytest
from suites_for_tests import Load, Planned, Problems

from harness.suite.byte_counts import bytes_of
from harness.suite.json_schema import suite_schema
from harness.suite.settings import FitSettings, LimitSettings, MeasureSettings


@pytest.mark.parametrize(
    ("written", "count"),
    [("16 GB", 16 * 10**9), ("16GiB", 16 * 2**30), ("1.5 MiB", 1572864), ("512 B", 512), ("2KB", 2000), (16e9, 16 * 10**9), (7, 7)],
)
def test_an_amount_is_bytes(written: object, count: int) -> None:
    assert bytes_of(written) == count


def test_a_suite_gives_a_limit_in_words(load: Load) -> None:
    assert load("limits: {memory_bytes: 16 GiB}").limits.memory_bytes == 16 * 2**30
    assert load("limits: {memory_bytes: 4000000000}").limits.memory_bytes == 4 * 10**9


@pytest.mark.parametrize(
    ("value", "said"), [("16 gigs", "expected bytes, or an amount such as 16 GB"), ("1.5", "an integer"), ("0", "at least 1"), ("true", "an integer")]
)
def test_what_is_no_amount_is_told_with_its_line(problems: Problems, value: str, said: str) -> None:
    (problem,) = problems(f"limits: {{memory_bytes: {value}}}")
    assert "limits.memory_bytes" in problem
    assert said in problem


def test_fit_is_a_word_or_the_bounds_of_the_search(load: Load) -> None:
    assert load("measure: {fit: true}").measure.fit == FitSettings()
    assert load("measure: {fit: false}").measure.fit is None
    assert load("measure: {fit: {batch_size: 8}}").measure.fit == FitSettings(batch_size=8)


def test_a_wrong_bound_is_told(problems: Problems) -> None:
    (problem,) = problems("measure: {fit: {steps: 1}}")
    assert "measure.fit.steps: expected at least 2" in problem


def test_cells_without_them_keep_their_ids_and_others_get_their_own(plan: Planned) -> None:
    assert "memory_bytes" not in LimitSettings().identity()
    assert "fit" not in MeasureSettings().identity()
    extras = ("", "limits: {memory_bytes: null}", "measure: {fit: false}", "limits: {memory_bytes: 1 GB}", "measure: {fit: true}", "measure: {fit: {batch_size: 8}}")
    ids = [plan(extra).cells[0].id for extra in extras]
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids)) == 4


def test_an_editor_takes_both_ways_of_writing_them() -> None:
    schema = suite_schema()
    measure, limits = (schema["$defs"][name]["properties"] for name in ("MeasureSettings", "LimitSettings"))
    assert {"type": "boolean"} in measure["fit"]["anyOf"]
    assert {"type": "string"} in limits["memory_bytes"]["anyOf"]
