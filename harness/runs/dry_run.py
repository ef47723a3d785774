"""What a run would do, found out without writing anything into its directory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from harness.records.parts import Status
from harness.records.schema import Record
from harness.records.store import RecordStore
from harness.runs.directory import check
from harness.runs.prepare import Prepared, RunOptions, prepare
from harness.runs.resume import SUPERSEDED, awaits_fit, finished_record, superseded
from harness.suite.cell import Cell
from harness.suite.schema import Suite


@dataclass
class DryRun:
    """to_run: cells that would be started, each with the reason. unsupported: would get a record, and no process. finished: cells that
    would be skipped, by outcome. searches: finished cells that still wait for their search of what fits. set_aside: ids whose records would be moved."""

    run: Path
    left_behind: Path | None
    problems: list[str]
    to_run: list[tuple[Cell, str]] = field(default_factory=list)
    unsupported: list[Cell] = field(default_factory=list)
    finished: Counter[Status] = field(default_factory=Counter)
    searches: int = 0
    set_aside: list[str] = field(default_factory=list)


def dry_run(suite: Suite, options: RunOptions) -> DryRun:
    """Looks at the plan and the records; raises what `run_suite` raises before its first cell, but for a directory in use."""
    ready = prepare(suite, options)
    check(ready.run, ready.contents.facts)
    store = RecordStore(ready.run)
    found = DryRun(ready.run, ready.left_behind, [str(problem) for problem in ready.plan.problems])
    found.set_aside = [path.stem for path in superseded(store, ready.plan.cells)]
    for cell in ready.selected:
        _look(cell, ready, options.fresh, store, found)
    return found


def _look(cell: Cell, ready: Prepared, fresh: bool, store: RecordStore, found: DryRun) -> None:
    """Adds the cell to what would become of it."""
    holder = store if store.path(cell.id).exists() else RecordStore(ready.run, SUPERSEDED)  # from where it would come back
    record = None if fresh else holder.read(cell.id)
    finished = finished_record(cell, record)
    if finished is not None:
        found.finished[finished.outcome.status] += 1
        found.searches += awaits_fit(finished)
    elif cell.unsupported is not None:
        found.unsupported.append(cell)
    else:
        found.to_run.append((cell, _reason(record, fresh, holder.path(cell.id).exists())))


def _reason(record: Record | None, fresh: bool, exists: bool) -> str:
    if fresh:
        return "--fresh" if exists else "not run yet"
    if record is None:
        return "its record is damaged" if exists else "not run yet"
    outcome = record.outcome
    if outcome.status == "unsupported":
        return "supported now"
    where = f" in {outcome.phase}" if outcome.phase else ""
    why = f": {outcome.message}" if outcome.message else ""
    return f"{outcome.status}{where} (attempt {outcome.retries + 1}){why}"
