"""Noise floors: their arithmetic, what becomes of repeats that failed, and files that cannot be used."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise_factory import noisy_run, repeated_run
from record_factory import MIB, START, environment, metric, record, write_run
from scipy import stats

from harness.analysis.columns import row
from harness.analysis.noise import fitting_noise, floor_of_repeats, measure_noise, pools
from harness.analysis.noise_table import noise_table
from harness.analysis.run import read_run
from harness.errors import DataError, RequestError
from harness.records.noise import NOISE, read_noise
from harness.records.schema import Quantization, QuantizationCost, Record

TIMES = (10.0, 10.4, 9.8)


def cells(number: int, **fields: Any) -> list[Record]:
    """A tuned cell whose time and memory scatter and whose accuracy repeats, and a slower one."""
    found = [metric(value=0.8, stderr=0.02)]
    return [
        record(train_seconds=TIMES[number], peak=(1000 + number) * MIB, metrics=found, **fields),
        record(method="full", train_seconds=3 * TIMES[-number], peak=4000 * MIB, metrics=found, **fields),
    ]


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_the_floor_is_what_two_further_measurements_differ_by_in_one_of_twenty_cases(n: int) -> None:
    rng = np.random.default_rng(n)
    above = [
        abs(x - y) > floor_of_repeats(measured.tolist()) for measured, x, y in ((rng.normal(size=n), *rng.normal(size=2)) for _ in range(4000))
    ]
    assert np.mean(above) == pytest.approx(0.05, abs=0.012)


def test_the_floor_is_students_t_times_the_deviation_of_a_difference() -> None:
    expected = stats.t.ppf(0.975, 2) * np.std(TIMES, ddof=1) * math.sqrt(2)
    assert floor_of_repeats(TIMES) == pytest.approx(expected)


def test_equal_values_have_a_floor_of_zero_and_one_value_has_none() -> None:
    assert floor_of_repeats([0.1, 0.1, 0.1]) == 0.0
    with pytest.raises(ValueError, match="two repeats"):
        floor_of_repeats([1.0])


def test_every_number_of_every_cell_gets_its_repeats_in_their_order(tmp_path: Path) -> None:
    noise = measure_noise(repeated_run(tmp_path / "run", [cells(number) for number in range(3)]))
    assert (noise.repeats, noise.device, [cell.statuses for cell in noise.cells]) == (3, "Test CPU, 2 cores", [["ok"] * 3] * 2)
    (lora,) = [cell for cell in noise.cells if cell.method == "lora"]
    found = lora.quantities["timing.train"]
    assert (tuple(found.values), found.n, found.floor) == (TIMES, 3, pytest.approx(floor_of_repeats(TIMES)))
    assert found.relative_floor == pytest.approx(found.floor / np.mean(TIMES))
    assert found.protocol == "wall clock on Test CPU, 2 cores"
    assert lora.quantities["accuracy"].floor == 0.0


def test_the_tenth_repeat_comes_after_the_second(tmp_path: Path) -> None:
    run = repeated_run(tmp_path / "run", [[record(train_seconds=float(number))] for number in range(1, 12)])
    assert measure_noise(run).cells[0].quantities["timing.train"].values == [float(number) for number in range(1, 12)]


def test_a_repeat_that_failed_is_left_out_and_said(tmp_path: Path) -> None:
    repeats = [[record(train_seconds=10.0)], [record(status="failed")], [record(train_seconds=11.0)]]
    (cell,) = measure_noise(repeated_run(tmp_path / "run", repeats)).cells
    assert cell.statuses == ["ok", "failed", "ok"]
    assert cell.quantities["timing.train"].values == [10.0, 11.0]
    assert cell.notes == ["2 of 3 repeats went through"]


def test_one_repeat_that_went_through_makes_no_floor(tmp_path: Path) -> None:
    noise = measure_noise(repeated_run(tmp_path / "run", [[record()], [record(status="oom")]]))
    (cell,) = noise.cells
    assert (cell.quantities, cell.notes) == ({}, ["1 of 2 repeats went through", "no floors: that takes 2"])
    assert "1 of 2 repeats went through" in " ".join(noise_table(noise).notes)


def test_a_cell_that_was_not_run_again_is_left_out(tmp_path: Path) -> None:
    noise = measure_noise(repeated_run(tmp_path / "run", [cells(0), cells(1)[:1]]))
    assert [cell.method for cell in noise.cells] == ["lora"]


def test_a_run_without_repeats_has_no_noise(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="one measurement of each cell"):
        measure_noise(write_run(tmp_path / "run", cells(0)))


def test_undefined_and_infinite_values_are_no_repeats(tmp_path: Path) -> None:
    values = [0.5, None, float("inf"), 0.6]
    (cell,) = measure_noise(repeated_run(tmp_path / "run", [[record(metrics=[metric(value=value)])] for value in values])).cells
    assert cell.quantities["accuracy"].values == [0.5, 0.6]


def test_repeats_on_different_devices_are_refused(tmp_path: Path) -> None:
    run = repeated_run(tmp_path / "run", [[record()], [record(environment=environment(cpu="Other CPU"))]])
    with pytest.raises(RequestError, match="different devices: Other CPU, 2 cores; Test CPU, 2 cores"):
        measure_noise(run)


def test_repeats_with_different_versions_are_noted(tmp_path: Path) -> None:
    run = repeated_run(tmp_path / "run", [[record()], [record(environment=environment(packages={"torch": "2.14.0", "peft": "0.21.2"}))]])
    (note,) = measure_noise(run).notes
    assert note.endswith("torch 2.13.0 and 2.14.0")


def test_memory_of_another_source_is_no_repeat(tmp_path: Path) -> None:
    other = record()
    other.memory.peak_vram_source = "torch_reserved"
    (cell,) = measure_noise(repeated_run(tmp_path / "run", [[record()], [other]])).cells
    assert "memory.peak_vram" not in cell.quantities
    assert any(note.startswith("memory.peak_vram: no floor, measured in different ways") for note in cell.notes)


def test_the_time_to_quantize_counts_only_where_a_cell_quantized(tmp_path: Path) -> None:
    def quantized(seconds: float, here: bool) -> Record:
        cost = QuantizationCost(seconds=seconds, peak_bytes=None, disk_bytes=1, made=START, here=here)
        stored = Quantization(layers=1, weights=8, bytes=4, bits_per_weight=4.0, kernels={}, cost=cost)
        return record(quantization="rtn").model_copy(update={"quantization": stored})

    own = measure_noise(repeated_run(tmp_path / "own", [[quantized(5.0, True)], [quantized(6.0, True)]])).cells[0]
    assert own.quantities["quantization.seconds"].values == [5.0, 6.0]
    read = measure_noise(repeated_run(tmp_path / "read", [[quantized(5.0, True)], [quantized(5.0, False)]])).cells[0]
    assert "quantization.seconds" not in read.quantities
    assert read.quantities["quantization.bytes"].floor == 0.0


def test_pooled_costs_are_relative_with_all_degrees_of_freedom(tmp_path: Path) -> None:
    noise = measure_noise(repeated_run(tmp_path / "run", [cells(number) for number in range(3)]))
    (pool,) = [pool for pool in pools(noise).values() if pool.quantity.key == "timing.train"]
    relative = [np.std(TIMES, ddof=1) / np.mean(TIMES)] * 2
    assert (pool.cells, pool.n, pool.spread.degrees) == (2, 6, 4)
    assert pool.spread.size == pytest.approx(np.sqrt(np.mean(np.square(relative))))
    assert pool.relative == pytest.approx(stats.t.ppf(0.975, 4) * math.sqrt(2) * pool.spread.size)


def test_the_table_says_what_repeats_exactly_and_leaves_counts_out(tmp_path: Path) -> None:
    shown = noise_table(measure_noise(repeated_run(tmp_path / "run", [cells(number) for number in range(3)])))
    texts = {entries[0].text: [entry.text for entry in entries[1:]] for entries in shown.rows}
    assert texts["accuracy"] == ["rte", "80.00", "repeats exactly", "0 %", "2", "6"]
    assert texts["train time"][0] == "all"
    assert "trainable" not in texts
    assert any(note.startswith("Repeats exactly: on this machine") for note in shown.notes)


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    return noisy_run(tmp_path / "noisy", cells, 3)


def spread(found: Record, run: Path, noise: Path | None = None) -> Any:
    (each,) = [each for each in read_run(run, noise).rows if each.record.cell.id == found.cell.id]
    repeated = each.readings["timing.train"].repeated
    return None if repeated is None else (repeated.size, repeated.degrees)


def test_a_report_finds_the_noise_of_its_run_by_itself(noisy: Path) -> None:
    assert spread(cells(0)[0], noisy) == (pytest.approx(np.std(TIMES, ddof=1)), 2)


def test_another_run_of_the_suite_takes_the_floors_of_its_cells_and_pooled_ones_for_the_others(noisy: Path, tmp_path: Path) -> None:
    further = record(seed=7, train_seconds=100.0)
    run = write_run(tmp_path / "run", [cells(0)[0], further])
    assert spread(cells(0)[0], run) is None
    assert spread(cells(0)[0], run, noisy) == (pytest.approx(np.std(TIMES, ddof=1)), 2)
    assert spread(further, run, noisy / NOISE) == (pytest.approx(100 * np.std(TIMES, ddof=1) / np.mean(TIMES)), 4)


@pytest.mark.parametrize(
    ("fields", "objection"),
    [({"environment": environment(device="cuda", gpu="NVIDIA H200")}, "measured on Test CPU, 2 cores, and the run on NVIDIA H200"), ({}, "suite other")],
)
def test_floors_of_another_device_or_suite_are_refused(noisy: Path, tmp_path: Path, fields: dict[str, Any], objection: str) -> None:
    found = record(**fields)
    found.cell.suite = "tests" if fields else "other"
    with pytest.raises(RequestError, match=objection):
        fitting_noise(noisy, [row(found)])
    run = write_run(tmp_path / "run", [found])
    with pytest.raises(RequestError, match=objection):
        read_run(run, noisy)
    (run / NOISE).write_text((noisy / NOISE).read_text())
    read = read_run(run)
    assert read.noise is None
    assert read.noise_problem is not None
    assert objection in read.noise_problem


def test_a_noise_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"noise\.json is not there; harness noise SUITE --out"):
        read_run(write_run(tmp_path / "run", cells(0)), tmp_path / "run")


def damaged(text: str, how: str) -> str:
    values = json.loads(text)
    if how == "half":
        return text[: len(text) // 2]
    if how == "newer":
        return json.dumps(values | {"schema_version": 2})
    if how == "no object":
        return "[1, 2]"
    values["cells"][0]["quantities"]["timing.train"]["std"] = float("nan")
    return json.dumps(values)


@pytest.mark.parametrize(("how", "said"), [("half", "is damaged"), ("newer", "schema_version 2"), ("no object", "schema_version None"), ("nan", "NaN is no number")])
def test_a_noise_file_that_cannot_be_used_costs_the_floors_and_is_named(noisy: Path, how: str, said: str) -> None:
    (noisy / NOISE).write_text(damaged((noisy / NOISE).read_text(), how))
    with pytest.raises(DataError, match=said):
        read_noise(noisy / NOISE)
    run = read_run(noisy)
    assert run.noise is None
    assert run.noise_problem is not None
    assert str(noisy / NOISE) in run.noise_problem
    assert said in run.noise_problem
    assert len(run.rows) == 2
    with pytest.raises(DataError, match=said):
        read_run(noisy, noisy)
