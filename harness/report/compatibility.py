"""The compatibility map as files: a page to read, and the data that plans read."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.compatibility import MEANINGS, SYMBOLS, family_tables, miscounts, verdict_counts
from harness.analysis.run import Run
from harness.records.store import write_atomically
from harness.report.markdown import escape_markdown, markdown_table
from harness.report.templates import environment
from harness.suite.compatibility import CompatibilityMap

PAGE, DATA = "compatibility.md", "compatibility.json"


def write_map(found: CompatibilityMap, run: Run, page: Path, data: Path) -> None:
    """Writes the map of a probe's run as Markdown and as JSON; raises StorageError."""
    template = environment(escape_markdown).get_template(f"{PAGE}.j2")
    text = template.render(
        map=found, symbols=SYMBOLS, counts=verdict_counts(found), meanings=MEANINGS,
        tables=list(family_tables(found)), miscounts=miscounts(run), table=markdown_table,
    )  # fmt: skip
    write_atomically(page, text)
    write_atomically(data, found.model_dump_json(indent=1, exclude_defaults=True) + "\n")
