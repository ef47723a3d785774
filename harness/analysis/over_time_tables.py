"""Tables of cells over time: one line per cell with a sparkline, and one per change of level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.analysis.columns import described
from harness.analysis.groups import group_by
from harness.analysis.over_time import Change, Series, series_of
from harness.analysis.run import Run
from harness.analysis.table import MISSING, Column, Entry, Table, entries, name_columns
from harness.analysis.tables import headline, slug
from harness.quantities import Quantity
from harness.records.history import read_points

BARS = "▁▂▃▄▅▆▇█"
LONGEST = 30  # measurements that a sparkline shows: the last ones
COSTS = ("memory.peak_vram", "timing.train")  # shown over time beside each task's own metric
DATE = "%Y-%m-%d %H:%M"


def sparkline(values: Sequence[float]) -> str:
    """The last 30 values as bars of eight heights between the smallest and the largest shown; bars of half height where all are equal."""
    shown = values[-LONGEST:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if high == low:
        return BARS[len(BARS) // 2 - 1] * len(shown)
    return "".join(BARS[min(len(BARS) - 1, int((value - low) / (high - low) * len(BARS)))] for value in shown)


def trend_table(found: Sequence[Series], quantity: Quantity) -> Table:
    """One row per series: how often it was measured, its course, its first and last value, and when its level changed last."""
    several = len({series.points[0].device for series in found}) > 1
    names = name_columns(["cell", *(["device"] if several else [])])
    columns = (*names, Column("runs"), Column("over time", names=True), Column("first", unit=quantity.unit), Column("last", unit=quantity.unit), Column("last change", names=True))
    body = tuple(
        (
            *entries([series.name, *([series.points[0].device] if several else []), str(len(series.points)), sparkline(series.values)]),
            *entries([quantity.show(series.values[0]), quantity.show(series.values[-1])]),
            Entry(_change_words(series.changes[-1], quantity) if series.changes else MISSING),
        )
        for series in found
    )
    notes = [f"Bars: the last {LONGEST} measurements, the lowest to the highest of each cell. A change of level is one with p ≤ 1 % (docs/history.md)."]
    protocols = sorted({series.points[0].protocol for series in found if series.points[0].protocol})
    notes += [f"Measured by: {'; '.join(protocols)}."] if protocols else []
    return Table(f"over-time-{slug(quantity.key)}", f"{quantity.label[:1].upper()}{quantity.label[1:]} over time", columns, body, tuple(notes))


def change_table(found: Sequence[Series], quantity: Quantity) -> Table | None:
    """One row per change of level, the latest first: from what to what, which way that is, and what else changed; None for none."""
    changes = sorted(((change, series) for series in found for change in series.changes), key=lambda pair: pair[0].when, reverse=True)
    if not changes:
        return None
    columns = (*name_columns(["cell", "since", "run"]), Column("before", unit=quantity.unit), Column("after", unit=quantity.unit), *name_columns(["change", "p", "changed with it"]))
    body = tuple(
        entries([
            series.name, f"{change.when:{DATE}}", change.run, quantity.show(change.before), quantity.show(change.after),
            _direction(change, quantity), f"{change.p:.2g}", change.words,
        ])
        for change, series in changes
    )  # fmt: skip
    note = "Changed with it: versions and devices of the first run of the new level against those of the last run before."
    return Table(f"changes-{slug(quantity.key)}", "Changes of level", columns, body, (note,))


def over_time_tables(run: Run, history: Path) -> Iterator[Table]:
    """A table per quantity of how the run's cells went in the history file: each task's own metric, peak memory and train time.

    Only of cells that the file has at least twice, measured in one way. Raises DataError for a file that is no history.
    """
    ids = {row.record.cell.id for row in run.rows}
    scores = [headline(rows) for rows in group_by(run.rows, ["task"]).values()]
    for key in dict.fromkeys(key for key in (*scores, *COSTS) if key is not None):
        points = [point for point in read_points(history, key) if point.cell in ids]
        found = [series for series in series_of(points, key) if len(series.points) > 1]
        if found:
            yield trend_table(found, described(key))


def _change_words(change: Change, quantity: Quantity) -> str:
    return f"{change.when:%Y-%m-%d}: {quantity.show(change.before)} → {quantity.show(change.after)}"


def _direction(change: Change, quantity: Quantity) -> str:
    """`+12.0 %, worse`."""
    size = quantity.show_difference(change.after - change.before) if change.relative is None or quantity.quality else f"{100 * change.relative:+.1f} %"
    if quantity.higher_is_better is None:
        return size
    return f"{size}, {'better' if (change.after > change.before) == quantity.higher_is_better else 'worse'}"
