"""From readings and telemetry to the record's parts: interval joins, headline, energy, notes. Rows made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.measure.phases import PhaseReading
from harness.measure.summary import label_phases, summarise

GB = 10**9
WriteTelemetry = Callable[..., Path]


def rows(**columns: list[float | None]) -> list[dict[str, float | None]]:
    """Rows from columns of the same length."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_samples_count_for_the_phase_that_they_lie_in(telemetry: WriteTelemetry) -> None:
    path = telemetry(
        rows(
            at=[0, 1, 2, 3, 4, 5],
            nvml_process=[None, 2 * GB, 3 * GB, 9 * GB, 4 * GB, 5 * GB],
            nvml_device=[GB, 3 * GB, 4 * GB, 10 * GB, 5 * GB, 6 * GB],
            host_rss=[100, 200, 300, 900, 400, 500],
        ),
        baseline_device_bytes=GB,
    )
    readings = [
        PhaseReading("load", 0.5, 2.5, torch_allocated=1, torch_reserved=2, host_rss=350),
        PhaseReading("train", 3.5, 4.5, torch_allocated=3, torch_reserved=4, host_rss=350),
    ]
    memory, _, _, _ = summarise(readings, path, "cuda")
    load, train = memory.phases["load"], memory.phases["train"]
    assert (load.nvml_process, load.nvml_device, load.host_rss) == (3 * GB, 3 * GB, 350)
    assert (train.nvml_process, train.nvml_device, train.host_rss) == (4 * GB, 4 * GB, 400)
    assert (train.torch_allocated, train.torch_reserved) == (3, 4)
    assert (memory.peak_vram, memory.peak_vram_source) == (4 * GB, "nvml_process")


def test_a_phase_that_occurs_twice_has_the_larger_peak_and_the_sum_of_times() -> None:
    readings = [
        PhaseReading("evaluate", 0.0, 2.0, torch_reserved=9, host_rss=5),
        PhaseReading("train", 3.0, 4.0, host_rss=1),
        PhaseReading("evaluate", 4.0, 5.0, torch_reserved=7, host_rss=8),
    ]
    memory, timing, _, _ = summarise(readings, None, "cuda")
    assert (memory.phases["evaluate"].torch_reserved, memory.phases["evaluate"].host_rss) == (9, 8)
    assert timing.phases == {"evaluate": 3.0, "train": 1.0}
    assert timing.total == 5.0


@pytest.mark.parametrize(
    ("process", "device", "reserved", "source", "peak"),
    [
        (5, 7, 3, "nvml_process", 5),
        (None, 7, 3, "nvml_device_delta", 5),
        (None, None, 3, "torch_reserved", 3),
        (None, None, None, "host_rss", 11),
    ],
)
def test_the_headline_takes_the_best_source_there_is(
    telemetry: WriteTelemetry, process: int | None, device: int | None, reserved: int | None, source: str, peak: int
) -> None:
    path = telemetry([{"at": 1, "nvml_process": process, "nvml_device": device}], baseline_device_bytes=2)
    memory, _, _, _ = summarise([PhaseReading("load", 0, 2, reserved, reserved, 11)], path, "cuda")
    assert (memory.peak_vram, memory.peak_vram_source) == (peak, source)


def test_a_process_that_the_driver_hides_is_a_note(telemetry: WriteTelemetry) -> None:
    path = telemetry([{"at": 1, "nvml_device": 7, "others_bytes": 0}], baseline_device_bytes=2)
    memory, _, _, notes = summarise([PhaseReading("load", 0, 2, 1, 1, 11)], path, "cuda")
    assert memory.phases["load"].nvml_process is None
    assert [note for note in notes if "does not list the cell's process" in note] == notes


def test_a_driver_that_gives_no_lists_is_not_taken_for_a_container(telemetry: WriteTelemetry) -> None:
    path = telemetry([{"at": 1, "nvml_device": 7}], baseline_device_bytes=2)
    (note,) = summarise([PhaseReading("load", 0, 2, 1, 1, 11)], path, "cuda")[3]
    assert note.startswith("the driver gives no list of processes: nvml_process is null")


def test_a_device_that_others_left_gives_no_negative_memory(telemetry: WriteTelemetry) -> None:
    path = telemetry([{"at": 1, "nvml_device": 3, "nvml_process": 1}], baseline_device_bytes=9)
    memory, _, _, notes = summarise([PhaseReading("load", 0, 2, 1, 1, 11)], path, "cuda")
    assert memory.phases["load"].nvml_device is None
    assert any("another process freed device memory" in note for note in notes)


def test_a_phase_between_two_samples_is_named(telemetry: WriteTelemetry) -> None:
    path = telemetry(rows(at=[0, 1], nvml_process=[5, 5], nvml_device=[5, 5]), baseline_device_bytes=0)
    memory, _, _, notes = summarise([PhaseReading("attach", 0.2, 0.3, 4, 4, 11), PhaseReading("load", 0.5, 1)], path, "cuda")
    assert memory.phases["attach"].nvml_process is None
    assert any("shorter than the sampler's period" in note and "attach" in note and "load" not in note for note in notes)


def test_a_sampler_that_missed_ticks_is_a_note_with_the_longest_gap(telemetry: WriteTelemetry) -> None:
    at = [tick / 100 for tick in range(100) if not 40 <= tick < 60]
    path = telemetry(rows(at=at, nvml_process=[5] * 80, nvml_device=[5] * 80), baseline_device_bytes=0)
    notes = summarise([PhaseReading("load", 0.1, 0.9, 4, 4, 11)], path, "cuda")[3]
    assert notes == ["the sampler missed 20 % of its ticks of 10 ms; the longest gap was 210 ms"]


def test_a_peak_of_torchs_that_no_sample_saw_is_a_note_with_its_bytes(telemetry: WriteTelemetry) -> None:
    path = telemetry(rows(at=[0, 0.01, 0.02], nvml_process=[2**30] * 3, nvml_device=[2**30] * 3), baseline_device_bytes=0)
    memory, _, _, notes = summarise([PhaseReading("load", 0, 1, 1, 3 * 2**30, 11)], path, "cuda")
    assert notes == ["torch reserved more for less than the sampler's period than NVML was seen to show: 2.00 GiB in load"]
    assert memory.phases["load"].outside_torch is None


def test_others_whose_bytes_the_driver_hides_are_counted_without_them(telemetry: WriteTelemetry) -> None:
    path = telemetry(rows(at=[0, 0.01], nvml_device=[9, 9]), own_listed=True, others_seen=1, others_before=0)
    memory, _, _, notes = summarise([PhaseReading("load", 0, 1, 1, 1, 11)], path, "cuda")
    assert memory.others is not None
    assert (memory.others.processes, memory.others.peak_bytes) == (1, None)
    assert any(note.startswith("another process on the GPU held memory that the driver does not tell") for note in notes)


def test_of_a_cell_that_the_driver_never_lists_only_those_count_that_were_there_before(telemetry: WriteTelemetry) -> None:
    path = telemetry(rows(at=[0, 0.01], nvml_device=[9, 19], others_bytes=[4, 14]), others_seen=2, others_before=1)
    memory, _, _, _ = summarise([PhaseReading("load", 0, 1, 1, 1, 11)], path, "cuda")
    assert memory.others is not None
    assert (memory.others.processes, memory.others.peak_bytes) == (1, 4)


def test_energy_comes_from_the_counter_where_there_is_one(telemetry: WriteTelemetry) -> None:
    # The counter moves at 0, 1, 2 and 3 s, by 100 J each; power readings would say something else.
    at = [tick / 10 for tick in range(31)]
    path = telemetry(rows(at=at, energy_j=[1000 + 100 * int(moment + 1e-9) for moment in at], power_w=[7.0] * 31))
    energy = summarise([PhaseReading("load", 0.5, 1.0), PhaseReading("train", 1.0, 2.5)], path, "cuda")[2]
    assert energy.source == "nvml_counter"
    assert energy.phases == {"load": pytest.approx(50), "train": pytest.approx(150)}


def test_energy_without_a_counter_is_power_over_time(telemetry: WriteTelemetry) -> None:
    # A ramp of 0 to 300 W over 3 s: the energy from a to b is 50 (b^2 - a^2).
    at = [tick / 10 for tick in range(31)]
    path = telemetry(rows(at=at, power_w=[100 * moment for moment in at]))
    readings = [PhaseReading("evaluate", 0.05, 1.0), PhaseReading("train", 1.0, 2.0), PhaseReading("evaluate", 2.0, 2.95)]
    energy = summarise(readings, path, "cuda")[2]
    assert energy.source == "nvml_power"
    assert energy.phases["train"] == pytest.approx(150, rel=1e-3)
    assert energy.phases["evaluate"] == pytest.approx(50 * (1 - 0.05**2 + 2.95**2 - 4), rel=1e-3)


def test_energy_of_a_phase_that_was_not_sampled_to_its_end_is_null(telemetry: WriteTelemetry) -> None:
    at = [tick / 100 for tick in range(201)]
    path = telemetry(rows(at=at, power_w=[100.0] * 201))
    readings = [PhaseReading("load", 0.0, 1.0), PhaseReading("train", 1.0, 3.0)]
    _, _, energy, notes = summarise(readings, path, "cuda")
    assert energy.phases == {"load": pytest.approx(100)}
    assert "the sampler did not see all of train: their energy is null" in notes


def test_without_a_device_that_tells_energy_is_null(telemetry: WriteTelemetry) -> None:
    energy = summarise([PhaseReading("load", 0, 1)], telemetry(rows(at=[0, 1], host_rss=[1, 1])), "cpu")[2]
    assert energy.phases == {}
    assert energy.source is None


def test_without_telemetry_the_cells_own_readings_remain_and_a_note_says_so(tmp_path: Path) -> None:
    readings = [PhaseReading("load", 0, 1, host_rss=7)]
    for missing in (None, tmp_path / "telemetry.parquet"):
        memory, _, energy, notes = summarise(readings, missing, "cpu")
        assert memory.peak_vram == 7
        assert energy.phases == {}
        assert sum("left no telemetry" in note for note in notes) == 1


def test_a_damaged_file_is_a_note_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.parquet"
    path.write_bytes(b"PAR1 and no more")
    memory, _, _, notes = summarise([PhaseReading("load", 0, 1, host_rss=7)], path, "cpu")
    assert memory.peak_vram == 7
    assert any("cannot be read" in note for note in notes)
    label_phases(path, [])
    assert path.read_bytes() == b"PAR1 and no more"


def test_a_cell_that_never_began_a_phase_has_nothing_measured(telemetry: WriteTelemetry) -> None:
    memory, timing, _, _ = summarise([], telemetry([{"at": 0, "host_rss": 5}]), "cpu")
    assert memory.phases == {}
    assert memory.peak_vram is None
    assert timing.total is None
