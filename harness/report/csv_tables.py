"""`csv`: every table of the report, and records.csv with everything that the records hold, one row per cell."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.analysis.columns import Row, describe
from harness.analysis.flat import flat
from harness.analysis.groups import axes_of
from harness.analysis.table import Entry, Table
from harness.records.store import write_atomically
from harness.report.base import REPORTS, ReportFormat
from harness.report.document import Document

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@REPORTS.register("csv")
class CsvTables(ReportFormat):
    """tables/<name>.csv and tables/records.csv; numbers as stored (shares 0..1, bytes, seconds), unrounded."""

    def write(self, document: Document, out: Path) -> list[Path]:
        """Writes one file per table and records.csv."""
        paths = []
        for table in document.tables:
            paths.append(out / "tables" / f"{table.name}.csv")
            write_atomically(paths[-1], csv_text(_lines(table)))
        paths.append(out / "tables" / "records.csv")
        write_atomically(paths[-1], csv_text(record_lines(document.run.rows)))
        return paths


def csv_text(lines: Iterable[Sequence[Any]]) -> str:
    """The lines as CSV (RFC 4180 quoting, newline \\n), with no cell that a spreadsheet would run as a formula."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([safe_cell(value) for value in line] for line in lines)
    return text.getvalue()


def safe_cell(value: Any) -> Any:
    """The value; text that starts like a formula (= + - @, tab, carriage return) and is no number gets an apostrophe."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def record_lines(rows: Sequence[Row]) -> list[list[Any]]:
    """A header and one line per record with everything in it.

    First the cell, its axes and outcome; then every address of `harness.analysis.columns` with its standard error
    and protocol where it has them; then all other fields by their path. Quality of random weights is left empty.
    """
    axes = axes_of(rows)
    readings = [_readings(row, rows) for row in rows]
    others = [flat(row.record) for row in rows]
    measured = list(dict.fromkeys(key for found in readings for key in found))
    further = list(dict.fromkeys(key for found in others for key in found if key not in measured))
    lines: list[list[Any]] = [["cell", *axes, "outcome", *measured, *further]]
    for row, found, other in zip(rows, readings, others, strict=True):
        place = [row.record.cell.id, *(row.axes.get(axis) for axis in axes), row.record.outcome.status]
        lines.append([*place, *(found.get(key) for key in measured), *(other.get(key) for key in further)])
    return lines


def _readings(row: Row, among: Sequence[Row]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, reading in row.readings.items():
        if row.random_weights and describe(key, among).quality:
            continue
        found[key] = reading.value
        if reading.stderr is not None:
            found[f"{key} stderr"] = reading.stderr
        if reading.protocol is not None:
            found[f"{key} protocol"] = reading.protocol
    return found


def _lines(table: Table) -> list[list[Any]]:
    """A header and the rows: numbers where an entry has them (with std and n where any has more than one), else its text."""
    repeated = [any(_several(row[at]) for row in table.rows) for at in range(len(table.columns))]
    header: list[Any] = []
    for column, several in zip(table.columns, repeated, strict=True):
        label = f"{column.label} [{column.unit}]" if column.unit else column.label
        header += [label, f"{column.label} std", f"{column.label} n"] if several else [label]
    marked = [at for at in range(len(table.columns)) if any(row[at].marks for row in table.rows)]
    header += [f"{table.columns[at].label} mark" for at in marked]
    return [header, *(_line(row, repeated, marked) for row in table.rows)]


def _line(row: Sequence[Entry], repeated: Sequence[bool], marked: Sequence[int]) -> list[Any]:
    line: list[Any] = []
    for entry, several in zip(row, repeated, strict=True):
        if entry.sample is None:
            line += [entry.text, None, None] if several else [entry.text]
        else:
            line += [entry.sample.mean, entry.sample.std, entry.sample.n] if several else [entry.sample.mean]
    return line + [" ".join(row[at].marks) for at in marked]


def _several(entry: Entry) -> bool:
    return entry.sample is not None and entry.sample.n > 1
