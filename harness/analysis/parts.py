"""Metrics in parts (MMLU's subjects): one table per metric and task, a row per part, a column per configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.analysis.columns import Row, axis_words, describe
from harness.analysis.entries import measured_entry
from harness.analysis.groups import AxisOrder, group_by
from harness.analysis.layouts import shared_note, shown_axes
from harness.analysis.table import Column, Entry, Table


def part_tables(rows: Sequence[Row], order: AxisOrder) -> Iterator[Table]:
    """The tables of all metrics that have parts (`accuracy:anatomy`), final values; random weights are left out."""
    for (task,), found in group_by([row for row in rows if row.ok and not row.random_weights], ["task"]).items():
        keys = list(dict.fromkeys(metric.name for row in found for metric in row.record.metrics if ":" in metric.name))
        for base in dict.fromkeys(key.partition(":")[0] for key in keys):
            parts = [key for key in keys if key.startswith(f"{base}:")]
            having = [row for row in found if any(row.reading(key) for key in parts)]
            if having:
                yield _part_table(str(task), base, parts, having, order)


def _part_table(task: str, base: str, parts: Sequence[str], rows: Sequence[Row], order: AxisOrder) -> Table:
    axes = shown_axes(rows)
    groups = group_by(order.sort(rows, [*axes, "seed"]), axes)
    labels = [" / ".join(axis_words(axis, value) for axis, value in zip(axes, place, strict=True)) for place in groups]
    whole = describe(base, rows)
    body = tuple(
        (Entry(key.partition(":")[2]), *(measured_entry(found, describe(key, rows), {}) for found in groups.values()))
        for key in parts
    )
    columns = (Column("part", names=True), *(Column(label, unit=whole.unit) for label in labels))
    title = f"{whole.label[:1].upper()}{whole.label[1:]} on {task} in parts"
    return Table(f"{base}-{task}-parts".replace("/", "-"), title, columns, body, tuple(shared_note(rows, axes)))
