"""Which cells have to run: those that were selected and have no finished record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import RequestError, StorageError
from harness.records.parts import Status
from harness.records.schema import Record
from harness.records.store import RecordStore
from harness.runs.attempts import Before, before_next
from harness.suite.cell import Cell

# Results, good or bad: they would come out the same again. `failed` and `timeout` may be the machine's fault or be
# mended meanwhile, so a repeat tries them again.
FINISHED = frozenset({"ok", "oom", "diverged", "unsupported"})
SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Finished:
    """A cell that does not run again: of its record, what the run needs. A run may have thousands. waiting: the whole record,
    where the cell still waits for its search of what fits."""

    cell: Cell
    status: Status
    seconds: float
    waiting: Record | None


@dataclass
class Remaining:
    """What a run has still to do. before: the attempts at a cell that were no result, by cell id."""

    cells: list[Cell] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    before: dict[str, Before] = field(default_factory=dict)


def is_finished(record: Record) -> bool:
    """Whether the cell is not run again when the run is repeated. Of a probe, a failure is what it was to find."""
    probe = (record.cell.config.get("measure") or {}).get("probe")
    return record.outcome.status in FINISHED or (bool(probe) and record.outcome.status == "failed")


def awaits_fit(record: Record) -> bool:
    """Whether the cell, though finished, still waits for its search of what fits: it was trained, or training ran out of memory."""
    asked = (record.cell.config.get("measure") or {}).get("fit") is not None and record.fit is None
    outcome = record.outcome
    return asked and ((outcome.status == "ok" and record.training is not None) or (outcome.status == "oom" and outcome.phase == "train"))


def label_path(cell: Cell) -> str:
    """What --only globs match beside the cell id: model/quantization/method/task/seed, then swept values."""
    labels = cell.labels
    swept = [f"{key}={value}" for key, value in labels.sweep.items()]
    return "/".join([labels.model, labels.quantization, labels.method, labels.task, str(labels.seed), *swept])


def select(cells: Sequence[Cell], globs: Sequence[str]) -> list[Cell]:
    """The cells whose id or label path matches any glob (`*` matches slashes too); all without globs.

    Raises RequestError for a glob that matches none.
    """
    for glob in globs:
        if not any(_matches(cell, glob) for cell in cells):
            example = f"; a cell here is {label_path(cells[0])}" if cells else ""
            raise RequestError(f"--only {glob}: no cell of the plan matches{example}")
    return [cell for cell in cells if not globs or any(_matches(cell, glob) for glob in globs)]


def remaining(cells: Sequence[Cell], store: RecordStore, fresh: bool) -> Remaining:
    """What has still to run of the cells; with `fresh`, all. A finished record whose cell was given another label
    in the suite gets the new one. Raises StorageError."""
    found = Remaining()
    for cell in cells:
        record = None if fresh else store.read(cell.id)
        finished = finished_record(cell, record)
        if finished is not None:
            found.finished.append(_in_short(cell, _relabelled(cell, finished, store)))
            continue
        found.cells.append(cell)
        if record is not None and not is_finished(record):
            found.before[cell.id] = before_next(record)
    return found


def finished_record(cell: Cell, record: Record | None) -> Record | None:
    """That record of the cell, if the cell is not to run again."""
    return record if record is not None and is_finished(record) and not _now_supported(cell, record) else None


def superseded(store: RecordStore, planned: Sequence[Cell]) -> list[Path]:
    """The records of cells that the plan does not have."""
    ids = {cell.id for cell in planned}
    return [path for path in sorted(store.folder.glob("*.json")) if path.stem not in ids]


def set_aside(store: RecordStore, planned: Sequence[Cell]) -> list[str]:
    """Moves records of cells that the plan no longer has to superseded/, and back those that it has again.

    A table would mix them with the others. Returns the ids set aside; raises StorageError.
    """
    aside = store.folder.parent / SUPERSEDED
    ids = {cell.id for cell in planned}
    gone = superseded(store, planned)
    try:
        for path in gone:
            aside.mkdir(exist_ok=True)
            os.replace(path, aside / path.name)
        for path in aside.glob("*.json"):
            if path.stem in ids and not store.path(path.stem).exists():
                os.replace(path, store.path(path.stem))
    except OSError as error:
        raise StorageError(f"cannot move records to {aside}: {error.strerror or error}") from error
    return [path.stem for path in gone]


def _matches(cell: Cell, glob: str) -> bool:
    return fnmatchcase(label_path(cell), glob) or fnmatchcase(cell.id, glob)


def _now_supported(cell: Cell, record: Record) -> bool:
    """The plan refused it then (before any phase) and does not now: a package was installed meanwhile."""
    refused = record.outcome.status == "unsupported" and record.outcome.phase is None
    return refused and cell.unsupported is None


def _in_short(cell: Cell, record: Record) -> Finished:
    seconds = (record.finished - record.started).total_seconds()
    return Finished(cell, record.outcome.status, seconds, record if awaits_fit(record) else None)


def _relabelled(cell: Cell, record: Record, store: RecordStore) -> Record:
    part = cell.record_part().model_copy(update={"config": record.cell.config})
    if part == record.cell:
        return record
    record = record.model_copy(update={"cell": part})
    store.write(record)
    return record
