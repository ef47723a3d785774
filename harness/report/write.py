"""From a run directory to the files of its report."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.analysis.run import read_run
from harness.records.store import remove_leftovers
from harness.report.apart import apart
from harness.report.base import REPORTS, ReportFormat
from harness.report.document import document

DEFAULT_FORMATS = ("md", "csv")
MANY = 500  # records: their plots and their CSV take longer than a process of their own


def write_report(
    run: Path, formats: Sequence[str] = DEFAULT_FORMATS, out: Path | None = None, noise: Path | None = None, history: Path | None = None
) -> list[Path]:
    """Writes the report of a run directory and returns the paths written.

    formats: names of report formats. out: where to, by default the run directory itself. noise: a noise.json, or a run
    directory with one; by default the run's own. history: a history file; None for no section on it. Raises UnknownName for a format that there is not (before anything is
    written), NotARun, RequestError for a noise.json or a history that does not fit, and StorageError.
    """
    chosen = [REPORTS.get(name) for name in dict.fromkeys(formats)]
    target = out or run
    with _no_search_for_cycles():
        found = read_run(run, noise)
        for folder in (target, target / "tables", target / "plots"):
            remove_leftovers(folder)

        many = len(found.rows) >= MANY

        def of(formats: Sequence[type[ReportFormat]]) -> list[Path]:
            return [path for cls in formats for path in cls().write(content, target)]

        with apart(lambda: [path for cls in chosen for path in cls().write_apart(found, target)], worth_it=many) as files:
            content = document(found, history)
            with apart(lambda: of(chosen[1:]), worth_it=many and len(chosen) > 1) as others:
                written = [*of(chosen[:1]), *others(), *files()]
    if target == run:
        _remove_outdated(chosen, run, written)
    return written


def _remove_outdated(chosen: Sequence[type[ReportFormat]], run: Path, written: Sequence[Path]) -> None:
    """Removes what an earlier report had written in these formats and this one does not have."""
    for cls in chosen:
        for path in set(run.glob(cls.own_files) if cls.own_files else ()).difference(written):
            path.unlink(missing_ok=True)


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Without Python's collector: the millions of objects of many records live until the report is written, and looking through
    them for cycles again and again takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
