"""Memory of every phase, four ways and reconciled: what the driver sees, what torch has, and what lies between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.analysis.columns import Reading, Row
from harness.analysis.groups import AxisOrder, group_by, sample_of
from harness.analysis.layouts import shared_note, shown_axes
from harness.analysis.pivot import axis_columns, name_entries
from harness.analysis.table import MISSING, Column, Entry, Table
from harness.quantities import quantity
from harness.records.parts import PHASES, PhaseName

# fields and properties of PhaseMemory -> what stands over their column
WAYS: Mapping[str, str] = {
    "nvml_process": "process (NVML)",
    "nvml_device": "device less before (NVML)",
    "torch_reserved": "torch reserved",
    "torch_allocated": "torch allocated",
    "outside_torch": "outside torch",
    "fragmentation": "fragmentation",
    "host_rss": "host",
}
ON_A_GPU = ("nvml_process", "nvml_device", "torch_reserved", "torch_allocated")
NOTE = (
    "Peaks. Outside torch: process less reserved (the CUDA context, and what libraries allocate themselves). Fragmentation: reserved less "
    "allocated. Both are differences of peaks, which need not fall on one moment."
)


def memory_table(rows: Sequence[Row], order: AxisOrder) -> Table | None:
    """Peaks by configuration and phase, means over seeds; None where no cell that went through has more than the host's."""
    ran = [row for row in rows if row.ok and any(getattr(memory, way) is not None for memory in row.record.memory.phases.values() for way in ON_A_GPU)]
    if not ran:
        return None
    axes = shown_axes(ran)
    ways = [way for way in WAYS if any(_peaks(ran, phase, way) for phase in PHASES)]
    body = []
    for place, found in group_by(order.sort(ran, [*axes, "seed"]), axes).items():
        for phase in dict.fromkeys(phase for row in found for phase in row.record.memory.phases):
            body.append((*name_entries(axes, place), Entry(phase), *(_entry(_peaks(found, phase, way)) for way in ways)))
    columns = (*axis_columns(axes), Column("phase", names=True), *(Column(WAYS[way], unit="bytes") for way in ways))
    seeds = sorted({len(found) for found in group_by(ran, axes).values()})
    means = [f"Means over n = {' or '.join(map(str, seeds))} seeds."] if seeds != [1] else []
    return Table("memory", "Memory, four ways", columns, tuple(body), (*shared_note(ran, axes), NOTE, *means))


def _peaks(rows: Sequence[Row], phase: PhaseName, way: str) -> list[int]:
    found = [getattr(row.record.memory.phases[phase], way) for row in rows if phase in row.record.memory.phases]
    return [value for value in found if value is not None]


def _entry(peaks: Sequence[int]) -> Entry:
    if not peaks:
        return Entry(MISSING)
    peak = quantity("memory.peak_vram")
    sample = sample_of([Reading(value) for value in peaks], peak)
    return Entry(peak.show(sample.mean), sample)
