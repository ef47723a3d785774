"""Addresses of what is measured by phase: `timing.<phase>`, `energy.<phase>`, `memory.<phase>_peak`, and of its memory
`memory.<phase>_outside_torch` and `memory.<phase>_fragmentation`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from harness.quantities import QUANTITIES, Quantity
from harness.records.measured import PhaseMemory
from harness.records.parts import PHASES, PeakSource
from harness.records.schema import Record

PEAK_SOURCES: Mapping[PeakSource, str] = {
    "nvml_process": "GPU memory of the cell's process (NVML)",
    "nvml_device_delta": "GPU memory of the device less what was used before (NVML)",
    "torch_reserved": "GPU memory reserved by torch's allocator",
    "host_rss": "host memory (resident set of the cell's process)",
}
BESIDE_TORCH = "GPU memory of the cell's process (NVML) less what torch's allocator reserved"
WITHIN_TORCH = "GPU memory reserved by torch's allocator less what lay in live tensors"
#: What an address says of a phase, in the words of the one that harness.quantities lists.
LISTED = ("timing.train", "energy.train", "memory.train_peak", "memory.train_outside_torch", "memory.train_fragmentation")


def phase_quantity(key: str) -> Quantity | None:
    """The quantity at an address of any phase, made after the train phase's; None for another address."""
    for listed in LISTED:
        before, _, after = listed.partition("train")
        phase = key.removeprefix(before).removesuffix(after)
        if phase in PHASES and key == f"{before}{phase}{after}":
            like = QUANTITIES[listed]
            return replace(like, key=key, label=like.label.replace("train", phase), meaning=like.meaning.replace("train", phase))
    return None


def memory_values(record: Record, device: str) -> Iterator[tuple[str, int | None, str]]:
    """Every peak of a record: its address, bytes, and how it was measured, on which device."""
    for phase, peaks in record.memory.phases.items():
        yield f"memory.{phase}_outside_torch", peaks.outside_torch, f"{BESIDE_TORCH} on {device}"
        yield f"memory.{phase}_fragmentation", peaks.fragmentation, f"{WITHIN_TORCH} on {device}"
    source = record.memory.peak_vram_source
    if source is None:
        return
    how = f"{PEAK_SOURCES[source]} on {device}"
    yield "memory.peak_vram", record.memory.peak_vram, how
    for phase, peaks in record.memory.phases.items():
        yield f"memory.{phase}_peak", _peak(peaks, source), how


def _peak(peaks: PhaseMemory, source: PeakSource) -> int | None:
    return peaks.nvml_device if source == "nvml_device_delta" else getattr(peaks, source)
