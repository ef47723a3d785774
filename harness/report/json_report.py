"""`json`: report.json, the report's tables and verdicts with their numbers, and the records themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.analysis.table import Entry, Table
from harness.records.store import write_atomically
from harness.report.base import REPORTS, ReportFormat
from harness.report.document import Document


@REPORTS.register("json")
class Json(ReportFormat):
    """report.json; numbers as stored, the texts that the other formats print beside them."""

    def write(self, document: Document, out: Path) -> list[Path]:
        """Writes report.json."""
        path = out / "report.json"
        write_atomically(path, json.dumps(report_values(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        return [path]


def report_values(document: Document) -> dict[str, Any]:
    """The report as plain values. random_weights: ids of the cells whose metrics are no quality."""
    rows = document.run.rows
    return {
        "suite": document.run.name,
        "title": document.title,
        "brief": list(document.brief),
        "summary": list(document.summary),
        "tables": [_table(table) for table in document.tables],
        "claims": [
            {"id": found.claim.id, "source": found.claim.source, "verdict": found.verdict, "sentence": found.sentence}
            for found in document.checked
        ],
        "unread": list(document.unread),
        "random_weights": [row.record.cell.id for row in rows if row.random_weights],
        "records": [row.record.model_dump(mode="json") for row in rows],
    }


def _table(table: Table) -> dict[str, Any]:
    columns = [{"label": column.label, "unit": column.unit, "names": column.names} for column in table.columns]
    rows = [[_entry(entry) for entry in row] for row in table.rows]
    return {
        "name": table.name, "title": table.title, "columns": columns, "rows": rows,
        "notes": list(table.notes), "footnotes": table.footnotes,
    }  # fmt: skip


def _entry(entry: Entry) -> dict[str, Any]:
    values: dict[str, Any] = {"text": entry.text}
    if entry.sample is not None:
        interval = entry.sample.interval()
        values |= {"mean": entry.sample.mean, "std": entry.sample.std, "n": entry.sample.n}
        values |= {"interval": [interval.low, interval.high]} if interval else {}
    return values | ({"marks": list(entry.marks)} if entry.marks else {}) | ({"best": True} if entry.best else {})
