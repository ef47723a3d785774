"""The short answer, what schemes cost, what tuning changed, costs, the Pareto front."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_factory import MIB, environment, metric, record

from harness.analysis.answers import answer_table
from harness.analysis.columns import describe, rows
from harness.analysis.cost import cost_table
from harness.analysis.groups import AxisOrder
from harness.analysis.pareto import Point, front, front_ties, panels
from harness.analysis.parts import part_tables
from harness.analysis.schemes import scheme_table
from harness.analysis.statistics import Error, Sample
from harness.analysis.table import Table
from harness.analysis.tuning import tuning_table
from harness.records.measured import Memory
from harness.records.schema import Record

ORDER = AxisOrder()


def cells(accuracy: float, peak: int, stderr: float | None = 0.02, **fields: Any) -> Record:
    return record(metrics=[metric(value=accuracy, stderr=stderr)], peak=peak * MIB, **fields)


def lines(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [[entry.text for entry in row] for row in table.rows]


def test_the_cheapest_within_the_noise_of_the_best_is_named_with_its_saving() -> None:
    found = answer_table(rows([cells(0.80, 1000, method="full"), cells(0.79, 400), cells(0.60, 100, quantization="nf4")]), ORDER)
    assert lines(found) == [["tiny", "rte", "accuracy", "none / full: 80.00 [76.08, 83.92]", "1000.00 MiB", "none / lora: 79.00 [75.08, 82.92]", "400.00 MiB (−60 %)"]]


def test_a_configuration_that_failed_for_one_seed_is_not_recommended() -> None:
    records = [cells(0.80, 1000, method="full"), cells(0.80, 10), record(seed=1, status="oom")]
    assert lines(answer_table(rows(records), ORDER))[0][5] == "the same"


def test_configurations_under_different_protocols_do_not_compete() -> None:
    other = record(metrics=[metric(value=0.79, stderr=0.02, protocol="glue/y")], peak=400 * MIB)
    found = lines(answer_table(rows([cells(0.80, 1000, method="full"), other]), ORDER))
    assert [(line[2], line[3].partition(":")[0], line[5]) for line in found] == [
        ("accuracy (glue/x)", "none / full", "the same"), ("accuracy (glue/y)", "none / lora", "the same"),
    ]  # fmt: skip


def test_without_noise_no_other_is_called_as_good() -> None:
    records = [cells(0.8, 1000, stderr=None, method="full"), cells(0.8, 10, stderr=None)]
    assert "noise unknown" in lines(answer_table(rows(records), ORDER))[0][5]


def test_a_scheme_is_compared_with_the_cell_that_differs_in_nothing_else() -> None:
    records = [cells(0.80, 1000), cells(0.78, 250, quantization="nf4"), cells(0.5, 10, quantization="nf4", method="ia3")]
    assert lines(scheme_table(rows(records), ORDER)) == [["nf4", "lora", "−2.00", "−75 %", "0 %", "0 %", "1"]]


def test_schemes_show_the_range_over_tasks_and_seeds() -> None:
    records = [cells(0.80, 100, seed=seed) for seed in (0, 1)]
    records += [cells(value, 100, seed=seed, quantization="nf4") for seed, value in ((0, 0.81), (1, 0.77))]
    assert lines(scheme_table(rows(records), ORDER))[0][2] == "−1.00 (−3.00 … +1.00)"


def test_tuning_shows_before_after_and_the_change_by_seed() -> None:
    records = [
        record(seed=seed, metrics=[metric(value=0.5, when="before"), metric(value=after)]) for seed, after in ((0, 0.7), (1, 0.8))
    ]
    assert lines(tuning_table(rows(records), ORDER)) == [["lora", "accuracy", "50.00 ± 0.00", "75.00 ± 7.07", "+25.00 ± 7.07"]]


def test_untuned_cells_are_not_in_the_tuning_table() -> None:
    assert tuning_table(rows([record(metrics=[metric(when="before")])]), ORDER) is None


def test_cost_is_the_mean_over_seeds_and_names_the_source_of_its_memory() -> None:
    records = [cells(0.8, 100), cells(0.8, 300, seed=1), record(seed=2, status="oom", peak=900 * MIB)]
    found = cost_table(rows(records), ORDER)
    assert found is not None
    assert dict(zip(found.header, lines(found)[0], strict=True))["peak memory"] == "200.00 MiB"
    assert any("host memory" in note for note in found.notes)


def test_memory_of_two_sources_in_the_cost_table_is_marked() -> None:
    cuda = environment(device="cuda", gpu="NVIDIA H200")
    nvml = Memory(peak_vram=MIB, peak_vram_source="nvml_process")
    found = cost_table(rows([cells(0.8, 100), record(method="full", memory=nvml, environment=cuda)]), ORDER)
    assert found is not None
    at = found.header.index("peak memory")
    assert len({row[at].marks for row in found.rows}) == 2
    assert sum("NVML" in meaning or "host memory" in meaning for meaning in found.footnotes.values()) == 2


def test_the_parts_of_a_metric_stand_in_one_table() -> None:
    metrics = [metric("accuracy:anatomy", 0.4), metric("accuracy:law", 0.6), metric(value=0.5)]
    (found,) = part_tables(rows([record(metrics=metrics), record(method="full", metrics=metrics)]), ORDER)
    assert found.header == ["part", "full", "lora"]
    assert lines(found) == [["anatomy", "40.00", "40.00"], ["law", "60.00", "60.00"]]


def points(values: list[tuple[float, float]]) -> list[Point]:
    return [Point("none", "lora", "", Sample((x,)), Sample((y,))) for x, y in values]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(values: list[tuple[float, float]]) -> None:
    found = front(points(values), describe("memory.peak_vram"), describe("accuracy"))
    beaten = [any(ox <= x and oy >= y and (ox, oy) != (x, y) for ox, oy in values) for x, y in values]
    expected = sorted(value for value, out in zip(values, beaten, strict=True) if not out)
    assert [(point.x.mean, point.y.mean) for point in found] == expected


def at(peak: float, accuracy: float, peak_noise: float | None = None, stderr: float | None = None) -> Point:
    """A point with these A/A repeats of its peak, and this standard error over items."""
    repeated = (None if peak_noise is None else Error(peak_noise, 10),)
    return Point("none", f"{peak}, {accuracy}", "", Sample((peak,), repeated=repeated), Sample((accuracy,), (stderr,), quality=True))


@pytest.mark.parametrize(
    ("point", "tied"),
    [
        (at(100, 0.79, 5, 0.02), True),  # as cheap, and as good within the noise
        (at(101, 0.79, 5, 0.02), True),  # dearer by less than the noise too
        (at(200, 0.79, 5, 0.02), False),  # surely dearer
        (at(100, 0.60, 5, 0.02), False),  # surely worse
        (at(101, 0.80, None, 0.02), False),  # of unknown noise
        (at(50, 0.10, 5, 0.02), False),  # on the front itself
    ],
)
def test_what_the_front_beats_within_the_noise_alone_ties_with_it(point: Point, tied: bool) -> None:
    found = front_ties([at(100, 0.80, 5, 0.02), point], describe("memory.peak_vram"), describe("accuracy"))
    assert found == ([point] if tied else [])


def test_a_plot_leaves_out_random_weights_and_cells_without_both_numbers() -> None:
    records = [cells(0.8, 100), cells(0.9, 1, method="full", source="random:x"), record(method="ia3", metrics=[metric()], peak=None)]
    (panel,) = panels(rows(records), describe("memory.peak_vram"), describe("accuracy"), ORDER)
    assert [point.method for point in panel.points] == ["lora"]


def test_nothing_to_show_is_no_table() -> None:
    broken = rows([record(status="failed")])
    assert [make(broken, ORDER) for make in (answer_table, scheme_table, tuning_table, cost_table)] == [None] * 4


@pytest.mark.parametrize("make", [answer_table, scheme_table, tuning_table, cost_table])
def test_no_records_are_no_table(make: Any) -> None:
    assert make([], ORDER) is None
