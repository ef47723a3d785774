"""Metrics in parts (MMLU's subjects): one table per metric and task, a row per part, a column per configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.analysis.columns import Row, axis_words, describe, metric_address
from harness.analysis.entries import measured_entry
from harness.analysis.groups import AxisOrder, group_by
from harness.analysis.layouts import shared_note, shown_axes
from harness.analysis.table import Column, Entry, Table
from harness.analysis.tables import slug


def part_tables(rows: Sequence[Row], order: AxisOrder) -> Iterator[Table]:
    """The tables of all metrics that have parts (`accuracy:anatomy`), final values; random weights are left out."""
    for (task,), found in group_by([row for row in rows if row.ok and not row.random_weights], ["task"]).items():
        parts: dict[tuple[str, str | None], dict[str, str]] = {}  # (metric, what was evaluated) -> part -> address
        for metric in (metric for row in found for metric in row.record.metrics):
            base, _, part = metric.name.partition(":")
            if part:
                parts.setdefault((base, metric.task), {})[part] = metric_address(metric.name, metric.task)
        wholes = {(metric.name, metric.task) for row in found for metric in row.record.metrics}
        for (base, evaluated), addresses in parts.items():
            if (base, evaluated) not in wholes:  # kinds of one metric, which stand in tables of their own
                continue
            having = [row for row in found if any(row.reading(key) for key in addresses.values())]
            if having:
                yield _part_table(str(task), metric_address(base, evaluated), addresses, having, order)


def _part_table(task: str, whole_key: str, parts: Mapping[str, str], rows: Sequence[Row], order: AxisOrder) -> Table:
    """parts: the address of each."""
    axes = shown_axes(rows)
    groups = group_by(order.sort(rows, [*axes, "seed"]), axes)
    labels = [" / ".join(axis_words(axis, value) for axis, value in zip(axes, place, strict=True)) for place in groups]
    whole = describe(whole_key, rows)
    body = tuple((Entry(part), *(measured_entry(found, describe(key, rows), {}) for found in groups.values())) for part, key in parts.items())
    columns = (Column("part", names=True), *(Column(label, unit=whole.unit) for label in labels))
    title = f"{whole.label[:1].upper()}{whole.label[1:]}{'' if '@' in whole_key else f' on {task}'} in parts"
    return Table(slug(f"{whole_key}-{task}-parts"), title, columns, body, tuple(shared_note(rows, axes)))
