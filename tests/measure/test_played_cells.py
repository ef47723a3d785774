"""Cells on devices of every kind, from NVML's calls to the record's parts: traces are played, a reading per second."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy
import pynvml
import pytest
from played import CELL, GB, TRACES, driver, telemetry_of

from harness.measure.board import Board
from harness.measure.nvml import open_nvml
from harness.measure.nvml_player import Answer, PlayedDriver, Trace, read_trace
from harness.measure.phases import PhaseReading
from harness.measure.sampled_cell import SampledCell
from harness.measure.summary import summarise
from harness.measure.telemetry import read_telemetry
from harness.measure.throttling import SLOWDOWNS
from harness.records.measured import Energy, Memory, PhaseMemory, Timing

READINGS = [
    PhaseReading("load", 0.5, 2.5, torch_allocated=GB, torch_reserved=2 * GB, host_rss=1),
    PhaseReading("train", 2.6, 8.5, torch_allocated=GB, torch_reserved=2 * GB, host_rss=1),
]
PLAYED = "NVML was not asked: its readings are played"


@pytest.fixture(autouse=True)
def _all_devices_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def measured(trace: str, path: Path) -> tuple[Memory, Timing, Energy, list[str]]:
    return summarise(READINGS, telemetry_of(trace, path / "telemetry.parquet"), "cuda")


def test_an_ordinary_cell_has_its_memory_four_ways_and_no_notes(tmp_path: Path) -> None:
    memory, timing, energy, notes = measured("ordinary", tmp_path)
    assert memory.phases["train"] == PhaseMemory(nvml_process=3 * GB, nvml_device=3 * GB, torch_reserved=2 * GB, torch_allocated=GB, host_rss=memory.phases["train"].host_rss)
    assert (memory.peak_vram, memory.peak_vram_source, memory.others) == (3 * GB, "nvml_process", None)
    assert energy.source == "nvml_counter"
    assert timing.throttled == {}
    assert notes == []


def test_memory_past_torch_and_memory_that_torch_keeps_are_differences_of_peaks() -> None:
    assert PhaseMemory(nvml_process=30, torch_reserved=20, torch_allocated=12).outside_torch == 10
    assert PhaseMemory(nvml_process=30, torch_reserved=20, torch_allocated=12).fragmentation == 8
    assert PhaseMemory(nvml_process=30, torch_allocated=12).outside_torch is None
    assert PhaseMemory(torch_reserved=20).fragmentation is None
    assert PhaseMemory(nvml_process=19, torch_reserved=20).outside_torch is None, "the sampler has missed the peak"


def test_a_hidden_process_is_measured_by_the_devices_delta_and_is_not_taken_for_somebody_else(tmp_path: Path) -> None:
    memory, _, _, notes = measured("hidden_processes", tmp_path)
    assert memory.phases["train"].nvml_process is None
    assert (memory.peak_vram, memory.peak_vram_source) == (3 * GB, "nvml_device_delta")
    assert memory.others is None, "3 GB under an id of the host are the cell's own"
    (note,) = notes
    assert note.startswith("the driver does not list the cell's process")
    assert note.endswith("the device's memory less what was used before stands for it")


def test_memory_on_nobodys_account_before_the_cell_is_a_note_and_no_process(tmp_path: Path) -> None:
    memory, _, _, notes = measured("hidden_neighbour", tmp_path)
    assert (memory.peak_vram, memory.peak_vram_source) == (3 * GB, "nvml_device_delta")
    assert memory.others is None
    assert any(note.startswith("11.18 GiB were in use on the GPU before the cell began that no process") for note in notes)


def test_what_the_driver_renews_seldom_is_read_seldom() -> None:
    asked = driver("ordinary")
    cell = SampledCell(CELL, open_nvml(driver=asked), None, state_s=3600)
    rows = [cell.read() for _ in range(5)]
    assert [row.get("temperature_c") for row in rows] == [61, None, None, None, None]
    assert [asked.asked.count(f"nvmlDeviceGet{what}") for what in ("Temperature", "UtilizationRates", "ClockInfo", "PowerUsage")] == [1, 1, 2, 5]


def test_a_process_listed_without_memory_falls_back_too_and_the_note_says_what_is_missing(tmp_path: Path) -> None:
    memory, _, _, notes = measured("wsl", tmp_path)
    assert (memory.peak_vram, memory.peak_vram_source) == (3 * GB, "nvml_device_delta")
    assert any("lists the cell's process without its memory (WSL" in note for note in notes)


def test_a_mig_instance_has_its_own_memory_and_lacks_what_the_driver_says(tmp_path: Path) -> None:
    memory, timing, energy, notes = measured("mig", tmp_path)
    assert (memory.phases["train"].nvml_process, memory.phases["train"].nvml_device) == (3 * GB, 3 * GB)
    assert energy.phases == {}
    assert timing.throttled == {}
    assert "the device is a MIG instance: NVML's memory is the instance's" in notes
    assert "NVML gives no power here (Insufficient Permissions)" in notes
    assert "NVML gives no throttle reasons here (Not Supported)" in notes


def test_of_a_device_that_is_lost_what_was_read_counts_and_the_notes_say_when_it_ended(tmp_path: Path) -> None:
    memory, _, _, notes = measured("dies", tmp_path)
    assert memory.phases["load"].nvml_process == 3 * GB
    assert memory.phases["train"].nvml_process == 3 * GB, "one reading lies in it"
    assert any("fell silent" in note and "(GPU is lost)" in note for note in notes)
    later = [*READINGS[:1], PhaseReading("train", 5.5, 8.5, torch_reserved=9 * GB, host_rss=1)]
    memory, _, _, notes = summarise(later, tmp_path / "telemetry.parquet", "cuda")
    assert (memory.peak_vram, memory.phases["train"].nvml_device) == (3 * GB, None)
    assert "without NVML's memory: train; peak_vram is that of the other phases" in notes


def test_an_energy_counter_that_begins_anew_is_in_the_timeline_as_it_was(tmp_path: Path) -> None:
    read = read_telemetry(telemetry_of("energy_resets", tmp_path / "telemetry.parquet"))
    at, joules = read.readings("energy_j")
    assert len(at) == 10
    assert list(joules[3:6]) == [2051.5, 0, 350.5]


def test_throttling_is_a_flag_and_a_note_with_its_share_of_the_phases_samples(tmp_path: Path) -> None:
    _, timing, _, notes = measured("throttles", tmp_path)
    assert timing.throttled == {"load": ["SwPowerCap"], "train": ["SwPowerCap", "SwThermalSlowdown"]}
    assert "the GPU slowed its clocks in train, of the samples: SwPowerCap in 50 %, SwThermalSlowdown in 17 %" in notes
    clocks = read_telemetry(tmp_path / "telemetry.parquet").readings("clock_sm_mhz")[1]
    assert list(clocks[:7]) == [1980, 1980, 1200, 1200, 1200, 1200, 1980]


def test_the_names_and_bits_of_slowdowns_are_nvmls_own() -> None:
    assert {name: getattr(pynvml, f"nvmlClocksEventReason{name}") for name in SLOWDOWNS} == SLOWDOWNS


def test_somebody_else_on_the_device_is_counted_once_and_noted_with_the_bytes(tmp_path: Path) -> None:
    memory, _, _, notes = measured("neighbour", tmp_path)
    assert memory.others is not None
    assert (memory.others.processes, memory.others.peak_bytes) == (2, 7 * GB + GB // 2)
    assert memory.phases["train"].nvml_process == 3 * GB
    assert memory.phases["train"].nvml_device == 9 * GB, "the device's delta has the neighbour's growth in it"
    assert any(note.startswith("2 other processes on the GPU held up to 6.98 GiB") for note in notes)


@pytest.fixture
def grandchild() -> Iterator[int]:
    """The id of a child of a child of this process."""
    inner = "import time; time.sleep(60)"
    outer = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {inner!r}]); print(p.pid, flush=True); sys.stdin.read(); p.kill(); p.wait()"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield int(child.stdout.readline())
        child.communicate()


def test_a_child_that_comes_up_on_the_device_is_the_cells_at_once_and_stays_so_when_it_has_ended(grandchild: int) -> None:
    context = {"gpuInstanceId": 0, "computeInstanceId": 0}
    listed = [{"pid": "cell", "usedGpuMemory": GB, **context}, {"pid": grandchild, "usedGpuMemory": 2 * GB, **context}]
    answers = [answer for answer in read_trace(TRACES / "ordinary.jsonl").answers if "Compute" not in answer.call]
    trace = Trace(Path("x"), read_trace(TRACES / "ordinary.jsonl").head, [*answers, Answer(call="nvmlDeviceGetComputeRunningProcesses", result=listed)])
    nvml = open_nvml(driver=PlayedDriver(trace, CELL))
    cell = SampledCell(CELL, nvml, None)
    cell._look_again = float("inf")  # it has just looked, and seen no child
    row = cell.read()
    assert (row["nvml_process"], row["others_bytes"]) == (3 * GB, 0)
    os.kill(grandchild, 9)
    cell._look_again = 0.0
    row = cell.read()
    assert (row["nvml_process"], row["others_bytes"]) == (3 * GB, 0), "the driver still lists it"


def test_what_the_cell_shows_of_itself_stands_in_the_timeline(tmp_path: Path) -> None:
    board = Board("cpu")
    board.step(7)
    columns = read_telemetry(telemetry_of("ordinary", tmp_path / "telemetry.parquet", board=board)).columns
    assert set(columns["step"]) == {7}
    assert numpy.isnan(columns["torch_allocated"]).all()


def test_lists_that_need_a_permission_leave_the_devices_memory(tmp_path: Path) -> None:
    answers = [answer for answer in read_trace(TRACES / "ordinary.jsonl").answers if "Running" not in answer.call]
    refused = [Answer(call=f"nvmlDeviceGet{kind}RunningProcesses", error="NO_PERMISSION") for kind in ("Compute", "Graphics")]
    nvml = open_nvml(driver=PlayedDriver(Trace(Path("x"), read_trace(TRACES / "ordinary.jsonl").head, [*answers, *refused]), CELL))
    assert nvml is not None
    row = SampledCell(CELL, nvml, None).read()
    assert (row["nvml_device"], row.get("nvml_process"), row.get("others_bytes")) == (2 * GB, None, None)
    assert nvml.missing() == [f"NVML gives no list of {kind} processes here (Insufficient Permissions)" for kind in ("compute", "graphics")]


def test_a_trace_is_never_taken_for_a_measurement() -> None:
    notes: list[str] = []
    assert open_nvml(notes, driver("ordinary")) is not None
    assert notes[0].startswith(PLAYED)
