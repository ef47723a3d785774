"""From readings to the record: the cell's own readings and the sampler's telemetry laid side by side, phase by phase."""

from __future__ import annotations

from pathlib import Path

from harness.measure.energy import energy_by_phase
from harness.measure.phases import PhaseReading
from harness.measure.reconciliation import gaps_on_cuda, other_processes
from harness.measure.telemetry import Telemetry, read_telemetry, write_with_phases
from harness.measure.throttling import throttled_phases
from harness.records.measured import Energy, Memory, PhaseMemory, Timing
from harness.records.parts import PeakSource, PhaseName

# The headline's sources, best first: what the driver says of the process, of the device, what torch says of itself.
SOURCES: tuple[tuple[PeakSource, str], ...] = (
    ("nvml_process", "nvml_process"),
    ("nvml_device_delta", "nvml_device"),
    ("torch_reserved", "torch_reserved"),
    ("host_rss", "host_rss"),
)


def summarise(
    readings: list[PhaseReading], telemetry: Path | None, device: str
) -> tuple[Memory, Timing, Energy, list[str]]:
    """The record's memory, timing and energy, and notes that say why what is null is null.

    readings: in the order of time; a phase that occurs twice gets the larger memory and the sum of time and energy.
    telemetry: the sampler's file; None, or a path where nothing is, when it wrote none. device: `cpu` or `cuda`.
    """
    notes: list[str] = []
    samples = _read(telemetry, notes)
    phases = _memory_by_phase(readings, samples, notes)
    if device == "cuda":
        notes.extend(gaps_on_cuda(readings, phases, samples))
    else:
        notes.append("the cell ran on the CPU: torch's peaks are null and peak_vram is the host's resident set")
    peak, source = _headline(phases, device)
    energy = energy_by_phase(readings, samples, notes) if samples is not None else Energy()
    memory = Memory(phases=phases, peak_vram=peak, peak_vram_source=source, others=other_processes(samples, notes))
    timing = _timing(readings)
    timing.throttled = throttled_phases(readings, samples, notes) if samples is not None else {}
    return memory, timing, energy, notes


def label_phases(telemetry: Path, readings: list[PhaseReading]) -> None:
    """Adds the column `phase` to telemetry.parquet, atomically; null between the phases. A file that is absent or
    damaged is left as it is: `summarise` has the note. Raises StorageError when the disk refuses.
    """
    samples = _read(telemetry, [])
    if samples is not None:
        write_with_phases(telemetry, [_phase_at(float(moment), readings) for moment in samples.columns["at"]])


def _read(telemetry: Path | None, notes: list[str]) -> Telemetry | None:
    if telemetry is None or not telemetry.exists():
        notes.append("the sampler left no telemetry: NVML readings are null, host_rss is the cell's own reading")
        return None
    try:
        samples = read_telemetry(telemetry)
    except (OSError, ValueError) as error:
        notes.append(f"the sampler's telemetry cannot be read ({error}): NVML readings are null")
        return None
    notes.extend(samples.facts.notes)
    return samples


def _memory_by_phase(
    readings: list[PhaseReading], samples: Telemetry | None, notes: list[str]
) -> dict[PhaseName, PhaseMemory]:
    phases: dict[PhaseName, PhaseMemory] = {}
    for reading in readings:
        once = _memory_of(reading, samples)
        before = phases.get(reading.phase)
        phases[reading.phase] = _larger(before, once) if before else once
    if any((memory.nvml_device or 0) < 0 for memory in phases.values()):
        notes.append("another process freed device memory while the cell ran: nvml_device is null where that hides the cell")
        phases = {phase: _without_negative_device(memory) for phase, memory in phases.items()}
    return phases


def _memory_of(reading: PhaseReading, samples: Telemetry | None) -> PhaseMemory:
    """Peaks of one phase; nvml_device may be negative yet."""
    memory = PhaseMemory(
        torch_reserved=reading.torch_reserved, torch_allocated=reading.torch_allocated, host_rss=reading.host_rss
    )
    if samples is None:
        return memory
    used = _peak(samples, "nvml_device", reading)
    baseline = samples.facts.baseline_device_bytes
    memory.nvml_process = _peak(samples, "nvml_process", reading)
    memory.nvml_device = None if used is None or baseline is None else used - baseline
    memory.host_rss = _maximum(memory.host_rss, _peak(samples, "host_rss", reading))
    return memory


def _peak(samples: Telemetry, column: str, reading: PhaseReading) -> int | None:
    values = samples.within(column, reading.started, reading.ended)
    return int(values.max()) if len(values) else None


def _maximum(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _larger(one: PhaseMemory, other: PhaseMemory) -> PhaseMemory:
    return PhaseMemory(**{name: _maximum(getattr(one, name), getattr(other, name)) for name in PhaseMemory.model_fields})


def _without_negative_device(memory: PhaseMemory) -> PhaseMemory:
    negative = memory.nvml_device is not None and memory.nvml_device < 0
    return memory.model_copy(update={"nvml_device": None}) if negative else memory


def _headline(phases: dict[PhaseName, PhaseMemory], device: str) -> tuple[int | None, PeakSource | None]:
    for source, field in SOURCES if device == "cuda" else SOURCES[-1:]:
        peak = _maximum(*(getattr(memory, field) for memory in phases.values()))
        if peak is not None:
            return peak, source
    return None, None


def _timing(readings: list[PhaseReading]) -> Timing:
    if not readings:
        return Timing()
    seconds: dict[PhaseName, float] = {}
    for reading in readings:
        seconds[reading.phase] = seconds.get(reading.phase, 0.0) + reading.ended - reading.started
    total = max(reading.ended for reading in readings) - min(reading.started for reading in readings)
    return Timing(phases=seconds, total=total)


def _phase_at(moment: float, readings: list[PhaseReading]) -> str | None:
    return next((reading.phase for reading in readings if reading.started <= moment <= reading.ended), None)
