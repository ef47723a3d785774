"""Published numbers beside our own: further columns of a result table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.analysis.columns import Row
from harness.analysis.effects import TIE_MARK
from harness.analysis.groups import one_sample
from harness.analysis.pivot import Pivot, Place, column_label
from harness.analysis.reference_files import reference_table
from harness.analysis.references import Reference, ReferenceRow, ReferenceTable, fitting
from harness.analysis.statistics import Sample
from harness.analysis.table import MISSING, Column, Entry
from harness.errors import UnknownName

DELTA = ", Δ to the paper"
Columns = list[tuple[Column, list[Entry]]]
Numbers = list[list[ReferenceRow]]  # of one column, those beside each row


def with_published(columns: Columns, cells: Pivot, address: str, references: Sequence[str] = ()) -> tuple[Columns, str]:
    """The columns with those of the reference `name.table` behind the ones they belong to, and a sentence on it.

    references: the suite's own. Where nothing fits, the columns as they were, and the sentence says so.
    """
    try:
        source, table = reference_table(address, references)
    except UnknownName as error:
        return columns, f"Reference {address}: {error}."
    wide: Columns = []
    shown: Numbers = []
    for place, column in zip(cells.column_places, columns, strict=True):
        beside = [_beside(table, cells, cells.at(row, place)) for row in cells.row_places]
        label = column_label(cells.column_axes, place, cells.quantity)
        wide += [column, *_column(f"{label}, {source.paper} paper", beside), *_deltas(label, cells, place, beside)]
        shown += beside
    for family, beside in _means(cells, table):
        wide += _column(f"{family}, {source.paper} paper", beside)
        shown += beside
    if len(wide) == len(columns):
        return columns, f"Reference {address}: none of its numbers belongs to a cell of this table."
    deltas = any(column.label.endswith(DELTA) for column, _ in wide)
    return wide, _sentence(source, table, (row for rows in shown for row in rows), deltas)


def _means(cells: Pivot, table: ReferenceTable) -> Iterable[tuple[str, Numbers]]:
    """The paper's means over families of tasks (`glue/mean`), beside rows whose cells are single tasks of them."""
    families = sorted({row.task for row in table.numbers if row.task and row.task.endswith("/mean")})
    for family in families:
        wholes = [[row for column in cells.column_places for row in cells.at(place, column)] for place in cells.row_places]
        yield family, [_beside(table, cells, whole, family) for whole in wholes]


def _beside(table: ReferenceTable, cells: Pivot, rows: Sequence[Row], family: str | None = None) -> list[ReferenceRow]:
    return list(fitting(table, cells.quantity.key, rows, family))


def _column(label: str, beside: Numbers) -> Columns:
    entries = [Entry("; ".join(dict.fromkeys(row.show() for row in rows)) or MISSING) for rows in beside]
    return [(Column(label), entries)] if any(beside) else []


def _deltas(label: str, cells: Pivot, place: Place, beside: Numbers) -> Columns:
    """Ours less the paper's where exactly one number stands beside ours, marked as a tie where our interval holds the paper's."""
    entries = []
    for row, numbers in zip(cells.row_places, beside, strict=True):
        ours = one_sample(cells.at(row, place), cells.quantity)
        theirs = numbers[0].stored if len(numbers) == 1 else None
        if ours is None or theirs is None:
            entries.append(Entry(MISSING))
            continue
        interval = ours.interval()
        marks = (TIE_MARK,) if interval is not None and theirs in interval else ()
        entries.append(Entry(cells.quantity.show_difference(ours.mean - theirs), Sample((ours.mean - theirs,), exact=True), marks))
    return [(Column(f"{label}{DELTA}", unit=cells.quantity.unit), entries)] if any(entry.sample for entry in entries) else []


def _sentence(source: Reference, table: ReferenceTable, shown: Iterable[ReferenceRow], deltas: bool) -> str:
    """Where the numbers are from and how they were computed: the table's protocol, and that of each number with another one."""
    others: dict[str, list[str]] = {}
    for row in shown:
        if row.protocol is not None and row.protocol != table.protocol:
            others.setdefault(row.protocol, []).append(row.show())
    parts = ["Δ: ours less the paper's; ≈: our 95 % interval holds the paper's number (whose own noise is not known)."] if deltas else []
    parts += [f"Its protocol: {table.protocol.rstrip('.')}."] if table.protocol else []
    parts += [f"Of {', '.join(dict.fromkeys(numbers))}: {protocol.rstrip('.')}." for protocol, numbers in others.items()]
    return " ".join([f"Published: {source.citation}: {table.caption}.", *parts])
