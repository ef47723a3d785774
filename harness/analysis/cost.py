"""What every configuration costs: memory, time, rates, parameters, bytes, energy; means over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from harness.analysis.columns import Row, describe
from harness.analysis.entries import measured_entry, protocol_letters
from harness.analysis.groups import AxisOrder, group_by, samples
from harness.analysis.layouts import shared_note, shown_axes
from harness.analysis.pivot import axis_columns, name_entries
from harness.analysis.table import Column, Entry, Table
from harness.analysis.throttling import throttled_footnote, throttled_marks
from harness.quantities import Quantity

COSTS = (
    "memory.peak_vram", "memory.train_peak", "timing.train", "timing.total", "training.tokens_per_second", "training.step_ms.p50",
    "training.mfu", "training.data_wait_share", "parameters.trainable", "parameters.trainable_percent", "sizes.adapter_bytes", "sizes.model_bytes",
    "energy.train", "energy.joules_per_training_token", "energy.joules_per_generated_token",
    "latency.ttft_ms.p50", "latency.tpot_ms.p50",
)  # fmt: skip
#: Columns that appear only where a cell has at least this much, and that nobody misses where none has: the table is wide.
NOTABLE_FROM: Mapping[str, float] = MappingProxyType({
    "training.mfu": 0.0, "training.data_wait_share": 0.05, "energy.joules_per_training_token": 0.0, "energy.joules_per_generated_token": 0.0,
})  # fmt: skip


def cost_table(rows: Sequence[Row], order: AxisOrder) -> Table | None:
    """Costs of the configurations of which a cell went through; None where none did.

    A column without any number is left out, and named below the table. Numbers of one column that were measured
    in different ways (another source of memory, another device) are marked, and so are times and rates of throttled phases.
    """
    ran = [row for row in rows if row.ok]
    if not ran:
        return None
    axes = shown_axes(ran)
    groups = group_by(order.sort(ran, [*axes, "seed"]), axes)
    quantities = [describe(key) for key in COSTS]
    measured = [quantity for quantity in quantities if any(_notable(row, quantity.key) for row in ran)]
    ways = {quantity.key: _ways(ran, quantity) for quantity in measured}
    letters = protocol_letters(sorted({way for found in ways.values() if len(found) > 1 for way in found}))
    body = tuple(
        (*name_entries(axes, place), *(cost_entry(found, quantity, letters, ways[quantity.key]) for quantity in measured))
        for place, found in groups.items()
    )
    notes = [*shared_note(ran, axes), *_sources(ways, measured)]
    seeds = sorted({len(found) for found in groups.values()})
    if seeds != [1]:
        notes.append(f"Means over n = {' or '.join(map(str, seeds))} seeds; the deviations are in the CSV and JSON forms of this table.")
    absent = [quantity.label for quantity in quantities if quantity not in measured and quantity.key not in NOTABLE_FROM]
    notes += [f"Not measured here: {', '.join(absent)}."] if absent else []
    columns = (*axis_columns(axes), *(Column(quantity.label, unit=quantity.unit) for quantity in measured))
    return Table("cost", "Cost", columns, body, tuple(notes), {mark: str(way) for way, mark in letters.items()} | throttled_footnote(body))


def cost_entry(rows: Sequence[Row], quantity: Quantity, letters: Mapping[str | None, str] = MappingProxyType({}), ways: Sequence[str] = ()) -> Entry:
    """The mean cost of the cells of one place, with the mark of the way in which it was measured where there are several `ways`, and
    that of a time taken while the device was throttled."""
    marked = letters if len(ways) > 1 else {}
    found = samples(rows, quantity)
    if len(found) != 1:
        return measured_entry(rows, quantity, marked)
    ((way, sample),) = found.items()
    marks = (marked[way],) if marked else ()
    return Entry(quantity.show(sample.mean), sample, (*marks, *throttled_marks(rows, quantity.key)))


def _notable(row: Row, key: str) -> bool:
    reading = row.reading(key)
    return reading is not None and reading.value is not None and reading.value >= NOTABLE_FROM.get(key, reading.value)


def _ways(rows: Sequence[Row], quantity: Quantity) -> list[str]:
    """In which ways the cells have that number."""
    readings = [row.reading(quantity.key) for row in rows]
    return sorted({reading.protocol for reading in readings if reading is not None and reading.protocol})


def _sources(ways: dict[str, list[str]], measured: Sequence[Quantity]) -> list[str]:
    """Where the numbers of a column come from, said once for all columns of one source."""
    columns: dict[str, list[str]] = {}
    for quantity in measured:
        if len(ways[quantity.key]) == 1:
            columns.setdefault(ways[quantity.key][0], []).append(quantity.label)
    return [f"{', '.join(labels)}: {way}." for way, labels in columns.items()]
