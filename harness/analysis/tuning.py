"""What tuning changed: metrics of every tuned configuration before and after training, on its task and on others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.analysis.columns import Row, describe, metric_address
from harness.analysis.effects import paired_difference, tie_footnote, tie_marks
from harness.analysis.groups import AxisOrder, group_by, samples
from harness.analysis.layouts import shared_note, shown_axes
from harness.analysis.pivot import axis_columns, name_entries
from harness.analysis.statistics import Sample
from harness.analysis.table import MISSING, Column, Entry, Table, show_sample
from harness.analysis.tables import headline
from harness.quantities import Quantity


def tuning_table(rows: Sequence[Row], order: AxisOrder) -> Table | None:
    """Before, after and the change of the headline metric, of every tuned configuration that went through; None where there is none.

    The change is taken seed by seed. Random weights have no quality and are left out.
    """
    keys = {task: headline(found) for (task,), found in group_by(rows, ["task"]).items()}
    return _change_table("tuning", "What tuning changed", rows, order, lambda row: [key for key in [keys[row.axes["task"]]] if key is not None])


def forgetting_table(rows: Sequence[Row], order: AxisOrder) -> Table | None:
    """The same of what was evaluated beside the task (`also`), by the first metric of each: what tuning cost there; None where nothing was."""
    return _change_table("forgetting", "What tuning changed elsewhere (forgetting)", rows, order, _beside)


def _beside(row: Row) -> list[str]:
    """Addresses of the first metric of every evaluation under `also`."""
    labels = [other["id"] for other in row.config("evaluations", "others") or () if other["beside"]]
    first = {label: next((metric.name for metric in row.record.metrics if metric.task == label), None) for label in labels}
    return [metric_address(name, label) for label, name in first.items() if name is not None]


def _change_table(name: str, title: str, rows: Sequence[Row], order: AxisOrder, keys_of: Callable[[Row], list[str]]) -> Table | None:
    """A row per configuration and metric that was evaluated before training and after it."""
    changed = {row.record.cell.id: [key for key in keys_of(row) if _both(row, key)] for row in rows if row.ok and not row.random_weights}
    having = [row for row in rows if changed.get(row.record.cell.id)]
    if not having:
        return None
    axes = shown_axes(having)
    body, seeds = [], set()
    for place, group in group_by(order.sort(having, [*axes, "seed"]), axes).items():
        for key in dict.fromkeys(key for row in group for key in changed[row.record.cell.id]):
            with_key = [row for row in group if key in changed[row.record.cell.id]]
            seeds.add(len(with_key))
            body.append((place, with_key, describe(key, with_key)))
    entries = tuple((*name_entries(axes, place), *_before_after(group, quantity, with_n=len(seeds) > 1)) for place, group, quantity in body)
    columns = (*axis_columns(axes), Column("metric", names=True), Column("before"), Column("after"), Column("change"))
    notes = shared_note(having, axes)
    if seeds != {1}:
        n = f" = {seeds.pop()}" if len(seeds) == 1 else ""
        notes.append(f"Mean ± sample standard deviation over n{n} seeds; the change is taken seed by seed.")
    notes += _base_note(having)
    return Table(name, title, columns, entries, tuple(notes), tie_footnote(entries))


def _base_note(rows: Sequence[Row]) -> list[str]:
    """Whether frozen bases came through training as they were; nothing where no cell could try."""
    tried = [row.record.base.same for row in rows if row.record.base is not None and row.record.base.same is not None]
    if not tried:
        return []
    same = sum(tried)
    found = f"in {same} of {len(tried)} cells" if same < len(tried) else f"in all {len(tried)} cells" if same > 1 else "in the one cell"
    return [f"With the method turned off, the frozen base scored on the first items exactly what it did before training {found} where that could be tried."]


def _both(row: Row, key: str) -> bool:
    return all(row.reading(metric_address(key, when=when)) for when in ("before", "after"))


def _before_after(rows: Sequence[Row], quantity: Quantity, with_n: bool) -> tuple[Entry, ...]:
    """The metric's name, its value before and after, and the change: none between two protocols, as where a soft prompt leaves less of
    the model's context to windows."""
    name = Entry(quantity.label)
    before, after = (samples(rows, describe(metric_address(quantity.key, when=when), rows)) for when in ("before", "after"))
    if len(before) != 1 or len(after) != 1:
        return name, Entry("different protocols"), Entry("different protocols"), Entry(MISSING)
    (early, first), (late, last) = *before.items(), *after.items()
    if early != late:
        told = (Entry(f"{show_sample(sample, quantity, with_n)} ({protocol})") for protocol, sample in ((early, first), (late, last)))
        return name, *told, Entry("different protocols")
    shown = (Entry(show_sample(sample, quantity, with_n), sample) for sample in (first, last))
    return name, *shown, change_entry(first, last, quantity)


def change_entry(before: Sample, after: Sample, quantity: Quantity) -> Entry:
    """The change from one sample to another of the same cells, taken cell by cell, marked where it is a tie."""
    change = Sample(tuple(late - early for early, late in zip(before.values, after.values, strict=True)))
    text = quantity.show_difference(change.mean)
    found = paired_difference(list(zip(after.singles(), before.singles(), strict=True)))
    return Entry(text if change.std is None else f"{text} ± {quantity.show(change.std)}", change, tie_marks(found))
