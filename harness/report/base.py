"""What a report format is: a document in, files out. One file with one registered class adds a format."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from harness.analysis.run import Run
from harness.registry import Registry
from harness.report.document import Document


class ReportFormat:
    """One form of the report. A subclass registers itself under the name that `--format` takes, and writes.

        @REPORTS.register("txt")
        class Text(ReportFormat):
            def write(self, document: Document, out: Path) -> list[Path]: ...

    own_files: what only this format writes into a run directory, as a glob: a table that is there no more, such as that of cells that failed
    and have run again since, goes with the next report.
    """

    own_files: ClassVar[str | None] = None

    def write_apart(self, run: Run, out: Path) -> list[Path]:
        """Writes the files that need the records alone and nothing of the document, likewise; by default there are none.

        With many records this happens in a process of its own, beside `write`.
        """
        return []

    def write(self, document: Document, out: Path) -> list[Path]:
        """Writes the files of this format under `out`, each atomically, and returns their paths; raises StorageError."""
        raise NotImplementedError


REPORTS: Registry[ReportFormat] = Registry("report format", "harness.report", "harness.reports")
