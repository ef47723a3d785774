"""Whether NVML's account of a cell's memory is whole and the cell's alone, and what the record must tell where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.measure.phases import PhaseReading
from harness.measure.telemetry import Telemetry
from harness.quantities import quantity
from harness.records.measured import OtherProcesses, PhaseMemory
from harness.records.parts import PhaseName

MANY_MISSED = 0.1
MANY_UNLISTED = 256 * 2**20  # a process's CUDA context takes more
SHOWN = quantity("memory.peak_vram").show


def other_processes(samples: Telemetry | None, notes: list[str]) -> OtherProcesses | None:
    """Who was on the device beside the cell; None where nobody was seen.

    Where the driver never lists the cell itself, its own process may stand on the list under an id of the host: then only
    those count that were there before it began.
    """
    import numpy

    if samples is None:
        return None
    facts = samples.facts
    processes = facts.others_seen if facts.own_listed else facts.others_before
    if not processes:
        return None
    held = samples.columns["others_bytes"] if facts.own_listed else samples.columns["others_bytes"][:1]
    told = held[~numpy.isnan(held)]
    peak = int(told.max()) if len(told) else None
    bytes_held = f"held up to {SHOWN(peak)}" if peak is not None else "held memory that the driver does not tell"
    who = "another process" if processes == 1 else f"{processes} other processes"
    notes.append(f"{who} on the GPU {bytes_held}: nvml_device, speed and energy are not the cell's alone")
    return OtherProcesses(peak_bytes=peak, processes=processes)


def gaps_on_cuda(
    readings: Sequence[PhaseReading], phases: Mapping[PhaseName, PhaseMemory], samples: Telemetry | None
) -> list[str]:
    """What NVML's memory lacks for a cell on CUDA, where the driver did answer."""
    if samples is None or not len(samples.readings("nvml_device")[0]):
        return []
    used_cuda = any(reading.torch_reserved for reading in readings)
    notes = _hidden(phases, samples) if used_cuda else []
    unseen = [reading.phase for reading in readings if not len(samples.within("at", reading.started, reading.ended))]
    if unseen:
        notes.append(f"shorter than the sampler's period, so without its readings: {', '.join(dict.fromkeys(unseen))}")
    silent = [phase for phase, memory in phases.items() if memory.nvml_device is None and memory.nvml_process is None and phase not in unseen]
    if silent:
        notes.append(f"without NVML's memory: {', '.join(silent)}; peak_vram is that of the other phases")
    return [*notes, *_spikes(phases), *_missed_ticks(samples)]


def _hidden(phases: Mapping[PhaseName, PhaseMemory], samples: Telemetry) -> list[str]:
    """Why there is no memory of the process, and what stands in for it."""
    notes = []
    if all(memory.nvml_process is None for memory in phases.values()):
        notes.append(f"{_why_hidden(samples)}: nvml_process is null, and the device's memory less what was used before stands for it")
    if samples.facts.mig:
        notes.append("the device is a MIG instance: NVML's memory is the instance's")
    elif (samples.facts.unlisted_before or 0) > MANY_UNLISTED:
        notes.append(
            f"{SHOWN(samples.facts.unlisted_before)} were in use on the GPU before the cell began that no process on the driver's lists "
            "holds: somebody whom it hides may have been there, and nvml_device, speed and energy not the cell's alone"
        )
    return notes


def _why_hidden(samples: Telemetry) -> str:
    facts = samples.facts
    if facts.own_listed:
        return "the driver lists the cell's process without its memory (WSL, or no permission)"
    if not facts.others_seen and not len(samples.readings("others_bytes")[0]):
        return "the driver gives no list of processes"
    return "the driver does not list the cell's process (a container's process ids?)"


def _spikes(phases: Mapping[PhaseName, PhaseMemory]) -> list[str]:
    """Phases of which torch knows a higher peak than NVML was seen to have: it came and went between two samples."""
    missed = {
        phase: memory.torch_reserved - memory.nvml_process
        for phase, memory in phases.items()
        if memory.torch_reserved is not None and memory.nvml_process is not None and memory.torch_reserved > memory.nvml_process
    }
    told = ", ".join(f"{SHOWN(missing)} in {phase}" for phase, missing in missed.items())
    return [f"torch reserved more for less than the sampler's period than NVML was seen to show: {told}"] if missed else []


def _missed_ticks(samples: Telemetry) -> list[str]:
    """A busy machine, or a slow driver: what came and went meanwhile was not seen."""
    import numpy

    at, period = samples.columns["at"], samples.facts.period_ms / 1000
    if len(at) < 2:
        return []
    ticks = (at[-1] - at[0]) / period
    missed = 1 - (len(at) - 1) / max(ticks, len(at) - 1)
    if missed < MANY_MISSED:
        return []
    longest = float(numpy.diff(at).max())
    return [f"the sampler missed {100 * missed:.0f} % of its ticks of {samples.facts.period_ms:g} ms; the longest gap was {1000 * longest:.0f} ms"]
