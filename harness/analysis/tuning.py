"""What tuning changed: the headline metric of every tuned configuration before and after training."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.columns import Row, describe, metric_address
from harness.analysis.groups import AxisOrder, group_by, one_sample
from harness.analysis.layouts import shared_note, shown_axes
from harness.analysis.pivot import axis_columns, name_entries
from harness.analysis.statistics import Sample
from harness.analysis.table import Column, Entry, Table, show_sample
from harness.analysis.tables import headline
from harness.quantities import Quantity


def tuning_table(rows: Sequence[Row], order: AxisOrder) -> Table | None:
    """Before, after and the change of every tuned configuration that went through; None where there is none.

    The change is taken seed by seed. Random weights have no quality and are left out.
    """
    keys = {task: headline(found) for (task,), found in group_by(rows, ["task"]).items()}
    tuned = [row for row in rows if row.ok and not row.random_weights and _both(row, keys[row.axes["task"]])]
    if not tuned:
        return None
    axes = shown_axes(tuned)
    groups = group_by(order.sort(tuned, [*axes, "seed"]), axes)
    seeds = {len(found) for found in groups.values()}
    body = []
    for place, found in groups.items():
        key = keys[found[0].axes["task"]]
        assert key is not None, "a row with both evaluations has a headline metric"
        body.append((*name_entries(axes, place), *_before_after(found, describe(key, found), with_n=len(seeds) > 1)))
    columns = (*axis_columns(axes), Column("metric", names=True), Column("before"), Column("after"), Column("change"))
    notes = shared_note(tuned, axes)
    if seeds != {1}:
        n = f" = {seeds.pop()}" if len(seeds) == 1 else ""
        notes.append(f"Mean ± sample standard deviation over n{n} seeds; the change is taken seed by seed.")
    return Table("tuning", "What tuning changed", columns, tuple(body), tuple(notes))


def _both(row: Row, key: str | None) -> bool:
    return key is not None and all(row.reading(metric_address(key, when=when)) for when in ("before", "after"))


def _before_after(rows: Sequence[Row], quantity: Quantity, with_n: bool) -> tuple[Entry, ...]:
    before, after = (
        one_sample(rows, describe(metric_address(quantity.key, when=when), rows)) for when in ("before", "after")
    )
    name = Entry(quantity.label)
    if before is None or after is None:
        return name, Entry("different protocols"), Entry("different protocols"), Entry("–")
    shown = (Entry(show_sample(sample, quantity, with_n), sample) for sample in (before, after))
    return name, *shown, change_entry(before, after, quantity)


def change_entry(before: Sample, after: Sample, quantity: Quantity) -> Entry:
    """The change from one sample to another of the same cells, taken cell by cell."""
    change = Sample(tuple(late - early for early, late in zip(before.values, after.values, strict=True)))
    text = quantity.show_difference(change.mean)
    return Entry(text if change.std is None else f"{text} ± {quantity.show(change.std)}", change)
