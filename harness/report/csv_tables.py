"""`csv`: every table of the report, and records.csv with everything that the records hold, one row per cell."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis.columns import Row, describe
from harness.analysis.flat import flat
from harness.analysis.groups import axes_of
from harness.analysis.run import Run
from harness.analysis.table import Entry, Table
from harness.outside import printable
from harness.records.store import write_atomically
from harness.report.base import REPORTS, ReportFormat
from harness.report.document import Document

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # the wide ones are read as the narrow ones
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@REPORTS.register("csv")
class CsvTables(ReportFormat):
    """tables/<name>.csv and tables/records.csv; numbers as stored (shares 0..1, bytes, seconds), unrounded."""

    own_files = "tables/*.csv"

    def write_apart(self, run: Run, out: Path) -> list[Path]:
        """Writes records.csv."""
        path = out / "tables" / "records.csv"
        write_atomically(path, csv_text(record_lines(run.rows)))
        return [path]

    def write(self, document: Document, out: Path) -> list[Path]:
        """Writes one file per table."""
        paths = []
        for table in document.tables:
            paths.append(out / "tables" / f"{table.name}.csv")
            write_atomically(paths[-1], csv_text(_lines(table)))
        return paths


def csv_text(lines: Iterable[Sequence[Any]]) -> str:
    """The lines as CSV (RFC 4180 quoting, newline \\n), with no cell that a spreadsheet would run as a formula."""
    text = io.StringIO()
    # only text is looked at: of a million cells, most are numbers or empty
    csv.writer(text, lineterminator="\n").writerows([safe_cell(value) if value.__class__ is str else value for value in line] for line in lines)
    return text.getvalue()


def safe_cell(value: Any) -> Any:
    """The value; text that starts like a formula (= + - @, tab, line end) and is no number gets an apostrophe, and control characters are written out."""
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(value) else value)


def record_lines(rows: Sequence[Row]) -> list[list[Any]]:
    """A header and one line per record with everything in it.

    First the cell, its axes and outcome; then every address of `harness.analysis.columns` with its standard error
    and protocol where it has them; then all other fields by their path. Quality of random weights is left empty.
    """
    axes = axes_of(rows)
    readings = [_readings(row, rows) for row in rows]
    others = [flat(row.record) for row in rows]
    measured = _keys(readings)
    further = [key for key in _keys(others) if key not in set(measured)]
    lines: list[list[Any]] = [["cell", *axes, "outcome", *measured, *further]]
    for row, found, other in zip(rows, readings, others, strict=True):
        place = [row.record.cell.id, *(row.axes.get(axis) for axis in axes), row.record.outcome.status]
        lines.append([*place, *map(found.get, measured), *map(other.get, further)])
    return lines


def _keys(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every key of any line, in order of first appearance."""
    keys: dict[str, None] = {}
    for line in lines:
        keys |= dict.fromkeys(line)
    return list(keys)


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
    """A header and the rows: numbers where an entry has them (with std and n where any of the column has more than one, with the
    95 % interval where any has one), else its text."""
    columns = [_Numbers.of([row[at] for row in table.rows]) for at in range(len(table.columns))]
    header: list[Any] = []
    for column, numbers in zip(table.columns, columns, strict=True):
        label = f"{column.label} [{column.unit}]" if column.unit else column.label
        header += [label, *(f"{column.label} {name}" for name in numbers.further)]
    marked = [at for at in range(len(table.columns)) if any(row[at].marks for row in table.rows)]
    header += [f"{table.columns[at].label} mark" for at in marked]
    return [header, *(_line(table.rows[at], [numbers.lines[at] for numbers in columns], marked) for at in range(len(table.rows)))]


def _line(row: Sequence[Entry], numbers: Sequence[list[Any]], marked: Sequence[int]) -> list[Any]:
    return [value for values in numbers for value in values] + [" ".join(row[at].marks) for at in marked]


@dataclass(frozen=True)
class _Numbers:
    """What stands for one column of a table. further: names of the CSV's columns behind the value; lines: value and further ones."""

    further: list[str]
    lines: list[list[Any]]

    @classmethod
    def of(cls, column: Sequence[Entry]) -> _Numbers:
        """The numbers of the column's entries."""
        samples = [entry.sample for entry in column]
        intervals = [sample.interval() if sample else None for sample in samples]
        spread = ["std", "n"] if any(sample and sample.n > 1 for sample in samples) else []
        bounds = ["low", "high"] if any(intervals) else []
        lines: list[list[Any]] = []
        for entry, sample, interval in zip(column, samples, intervals, strict=True):
            line: list[Any] = [entry.text if sample is None else sample.mean]
            line += ([sample.std, sample.n] if sample else [None, None]) if spread else []
            line += ([interval.low, interval.high] if interval else [None, None]) if bounds else []
            lines.append(line)
        return cls([*spread, *bounds], lines)
