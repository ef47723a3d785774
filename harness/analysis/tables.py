"""The tables of results: those that the suite lays out, or one per metric where it lays out none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.analysis.columns import AXES, Row, describe, metric_address
from harness.analysis.effects import TIE_MARK
from harness.analysis.entries import (
    BEST_NOTE,
    INTERVAL_NOTE,
    RANDOM_MARK,
    RANDOM_NOTE,
    TIE_BEST_NOTE,
    fill_column,
    protocol_letters,
    same_n,
)
from harness.analysis.groups import AxisOrder, axes_of
from harness.analysis.pairs import select
from harness.analysis.pivot import Pivot, Place, axis_columns, column_label, name_entries, pivot, protocols_of
from harness.analysis.published import Columns, with_published
from harness.analysis.references import UNVERIFIED_MARK, UNVERIFIED_NOTE
from harness.analysis.table import Column, Entry, Table
from harness.suite.schema import TableLayout

Protocols = Mapping[Place, Sequence[str | None]]
Letters = Mapping[str | None, str]


def result_tables(rows: Sequence[Row], layouts: Sequence[TableLayout], order: AxisOrder, references: Sequence[str] = ()) -> list[Table]:
    """The laid-out tables in their order, or the default ones; tables without any cell are left out."""
    found = [result_table(rows, layout, order, references) for layout in layouts or default_layouts(rows)]
    return _with_own_names([table for table in found if table.rows])


def default_layouts(rows: Sequence[Row]) -> Iterator[TableLayout]:
    """One table per metric of the tasks: model x quantization x method (and what is swept) by task.

    Parts of a metric (MMLU's subjects) stand in one table, at the end.
    """
    swept = [axis for axis in axes_of(rows) if axis not in AXES]
    for key in metric_keys(rows):
        yield TableLayout(rows=["model", "quantization", "method", *swept], columns=["task"], metric=key)


def metric_keys(rows: Sequence[Row]) -> list[str]:
    """Addresses of the final value of every metric, in the order in which the tasks report them; parts of another one left out."""
    found: dict[tuple[str, str | None], None] = {}
    for row in rows:
        found |= dict.fromkeys((metric.name, metric.task) for metric in row.record.metrics)
    return [metric_address(name, task) for name, task in found if ":" not in name or (name.partition(":")[0], task) not in found]


def headline(rows: Sequence[Row]) -> str | None:
    """The metric that these cells, of one task, are first of all judged by: the first that the task reports."""
    return next(iter(metric_keys(rows)), None)


def result_table(rows: Sequence[Row], layout: TableLayout, order: AxisOrder, references: Sequence[str] = ()) -> Table:
    """One table of one metric, with the published numbers beside it where the layout names them."""
    rows = select(rows, layout.where)
    quantity = describe(layout.metric, rows)
    cells = pivot(rows, layout.rows, layout.columns, quantity, order)
    protocols = {place: protocols_of(cells, place) for place in cells.column_places}
    letters = protocol_letters(sorted({name for names in protocols.values() if len(names) > 1 for name in names}, key=str))
    columns = _measured(cells, protocols, letters)
    notes, footnotes = list(_notes(cells, protocols, columns)), {mark: f"protocol {name}" for name, mark in letters.items()}
    if any(RANDOM_MARK in entry.marks for entry in _entries(columns)):
        footnotes[RANDOM_MARK] = RANDOM_NOTE
    if any(TIE_MARK in entry.marks for entry in _entries(columns)):
        footnotes[TIE_MARK] = TIE_BEST_NOTE
    if layout.reference:
        columns, sentence = with_published(columns, cells, layout.reference, references)
        notes.append(sentence)
        if any(UNVERIFIED_MARK in entry.text for entry in _entries(columns)):
            footnotes[UNVERIFIED_MARK] = UNVERIFIED_NOTE
    return Table(
        slug(layout.title or f"{layout.metric}-by-{'-'.join(layout.rows + layout.columns)}"),
        layout.title or f"{quantity.label[:1].upper()}{quantity.label[1:]}{_direction(quantity.higher_is_better)}",
        (*axis_columns(cells.row_axes), *(column for column, _ in columns)),
        tuple(
            (*name_entries(cells.row_axes, place), *(entries[at] for _, entries in columns))
            for at, place in enumerate(cells.row_places)
        ),
        tuple(notes),
        footnotes,
    )


def slug(text: str) -> str:
    """A file name: lower case, letters, digits and hyphens, at most 80 characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "table"


def _direction(higher_is_better: bool | None) -> str:
    return {True: " (higher is better)", False: " (lower is better)", None: ""}[higher_is_better]


def _measured(cells: Pivot, protocols: Protocols, letters: Letters) -> Columns:
    """The measured columns; n stands at every entry only where it is not the same for all."""
    columns = [Column(column_label(cells.column_axes, place, cells.quantity), unit=cells.quantity.unit) for place in cells.column_places]
    marks = [letters if len(protocols[place]) > 1 else {} for place in cells.column_places]

    def filled(with_n: bool) -> Columns:
        places = zip(columns, cells.column_places, marks, strict=True)
        return [(column, fill_column(cells, place, mark, with_n)) for column, place, mark in places]

    found = filled(with_n=True)
    return filled(with_n=False) if same_n(_entries(found)) else found


def _notes(cells: Pivot, protocols: Protocols, columns: Columns) -> Iterator[str]:
    found = _entries(columns)
    n = same_n(found)
    if n or any(entry.sample and entry.sample.n > 1 for entry in found):
        yield f"Mean ± sample standard deviation over n{f' = {n}' if n else ''} seeds."
    if any(entry.sample and entry.sample.n == 1 and entry.sample.interval() for entry in found):
        yield INTERVAL_NOTE
    if any(entry.best for entry in found):
        yield BEST_NOTE
    single = {place: names[0] for place, names in protocols.items() if len(names) == 1 and names[0]}
    if len(set(single.values())) == 1:
        yield f"Measured by: {next(iter(single.values()))}."
    elif single:
        said = (f"{column_label(cells.column_axes, place, cells.quantity)}: {name}" for place, name in single.items())
        yield f"Measured by: {'; '.join(said)}."


def _entries(columns: Columns) -> list[Entry]:
    return [entry for _, entries in columns for entry in entries]


def _with_own_names(tables: Sequence[Table]) -> list[Table]:
    """The tables, the second of one name as `name-2`, so that no file overwrites another."""
    seen: dict[str, int] = {}
    named = []
    for table in tables:
        seen[table.name] = seen.get(table.name, 0) + 1
        named.append(table if seen[table.name] == 1 else replace(table, name=f"{table.name}-{seen[table.name]}"))
    return named
