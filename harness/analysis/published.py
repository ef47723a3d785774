"""Published numbers beside our own: further columns of a result table."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.columns import Row
from harness.analysis.pivot import Pivot, column_label
from harness.analysis.references import Reference, ReferenceTable, fitting, reference_table
from harness.analysis.table import MISSING, Column, Entry
from harness.errors import UnknownName

Columns = list[tuple[Column, list[Entry]]]


def with_published(columns: Columns, cells: Pivot, address: str) -> tuple[Columns, str]:
    """The columns with those of the reference `name.table` behind the ones they belong to, and a sentence on it.

    Where nothing fits, the columns as they were, and the sentence says so.
    """
    try:
        source, table = reference_table(address)
    except UnknownName as error:
        return columns, f"Reference {address}: {error}."
    wide: Columns = []
    for place, column in zip(cells.column_places, columns, strict=True):
        texts = [_show(table, cells, cells.at(row, place)) for row in cells.row_places]
        wide += [column, *_column(f"{column_label(cells.column_axes, place, cells.quantity)}, {source.paper} paper", texts)]
    wide += _means(cells, source, table)
    if len(wide) == len(columns):
        return columns, f"Reference {address}: none of its numbers belongs to a cell of this table."
    return wide, f"Published: {source.citation}: {table.caption}. Its protocol: {table.protocol}."


def _means(cells: Pivot, source: Reference, table: ReferenceTable) -> Columns:
    """The paper's means over families of tasks (`glue/mean`), beside rows whose cells are single tasks of them."""
    families = sorted({row.task for row in table.rows if row.task and row.task.endswith("/mean")})
    found: Columns = []
    for family in families:
        wholes = [[row for column in cells.column_places for row in cells.at(place, column)] for place in cells.row_places]
        found += _column(f"{family}, {source.paper} paper", [_show(table, cells, whole, family) for whole in wholes])
    return found


def _show(table: ReferenceTable, cells: Pivot, rows: Sequence[Row], family: str | None = None) -> str:
    found = fitting(table, cells.quantity.key.partition(":")[0], rows, family)
    return "; ".join(dict.fromkeys(row.show() for row in found)) or MISSING


def _column(label: str, texts: Sequence[str]) -> Columns:
    return [(Column(label), [Entry(text) for text in texts])] if any(text != MISSING for text in texts) else []
