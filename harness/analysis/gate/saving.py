"""`harness baseline`: a run promoted to a baseline, and the baselines there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.analysis.columns import AXES, Row, describe, described, device_name, row
from harness.analysis.run import Run, read_run
from harness.analysis.table import MISSING, Column, Entry, Table, entries, name_columns
from harness.analysis.tables import headline
from harness.errors import RequestError, UnknownName
from harness.records.baseline import (
    REFERENCE,
    BaselineCell,
    Saved,
    baseline_file,
    baseline_files,
    kept,
    read_baseline,
    write_baseline,
)
from harness.records.noise import Repeated, RepeatedCell
from harness.suite.gate import Gate
from harness.suite.ids import id_trouble

UNFINISHED = ("failed", "timeout")  # `harness run` tries these again
PEAK = "memory.peak_vram"


@dataclass(frozen=True)
class Kept:
    """What `save` has written. without_noise: whether no A/A repeats came with it."""

    path: Path
    cells: int
    without_noise: bool


def save(folder: Path, name: str, who: str, replace: bool = False, reference: Path = REFERENCE) -> Kept:
    """Makes the run the baseline of that name for its device; lines of other devices stay.

    Raises NotARun, RequestError for a run that is not finished or has cells that failed, that was measured on several devices, and for
    a name that is no name or is taken (without `replace`); StorageError.
    """
    trouble = id_trouble(name)
    if trouble is not None:
        raise RequestError(trouble)
    run = read_run(folder)
    devices = _check(run)
    path = baseline_file(name, run.rows[0].record.environment, reference)
    there = read_baseline(path) if path.exists() else []
    taken = [cell for cell in there if cell.device in devices]
    if taken and not replace:
        saved = taken[0].saved
        raise RequestError(f"the baseline {name} for {devices[0]} is there already, saved by {saved.who} on {saved.when:%Y-%m-%d} from {saved.run}; --replace overwrites it")
    by = Saved(who=who, when=datetime.now(UTC).replace(microsecond=0), run=str(folder))
    repeated = {cell.id: _judged(cell, run) for cell in run.noise.cells} if run.noise is not None else {}
    own = [
        BaselineCell(device=devices[0], cell=row.record.cell.id, saved=by, record=kept(row.record), repeated=repeated.get(row.record.cell.id, {}))
        for row in run.rows
    ]
    write_baseline(path, [*(cell for cell in there if cell.device not in devices), *own])
    return Kept(path, len(own), not repeated)


def _judged(cell: RepeatedCell, run: Run) -> dict[str, Repeated]:
    """The repeats of what the gate judges, by its defaults or the suite's own: the others would double the file."""
    gate = run.suite.gate if run.suite is not None else Gate()
    quantities = {key: described(key, run.rows) for key in cell.quantities}
    return {key: found for key, found in cell.quantities.items() if not quantities[key].exact and not gate.limit(quantities[key]).ignore}


def _check(run: Run) -> list[str]:
    """The run's one device; raises RequestError for a run that cannot be a baseline."""
    if run.damaged:
        raise RequestError(f"{run.path} cannot be a baseline: {run.damaged[0].path} {run.damaged[0].reason}")
    if not run.rows:
        raise RequestError(f"{run.path} cannot be a baseline: it holds no record")
    if run.waiting is None:
        raise RequestError(f"{run.path} cannot be a baseline: without its run.json nobody knows whether it is finished")
    if run.waiting:
        raise RequestError(f"{run.path} cannot be a baseline: {run.waiting} of {run.waiting + len(run.rows)} cells have no record yet; harness run goes on with it")
    broken = [row for row in run.rows if row.record.outcome.status in UNFINISHED]
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise RequestError(f"{run.path} cannot be a baseline: {broken[0].name()} {broken[0].record.outcome.status}{more}; harness run tries them again")
    devices = sorted({device_name(row.record) for row in run.rows})
    if len(devices) > 1:
        raise RequestError(f"{run.path} cannot be a baseline: it was measured on several devices: {', '.join(devices)}")
    return devices


def baselines_table(reference: Path = REFERENCE) -> Table:
    """All baselines: a row for each name and device."""
    body = []
    for path in baseline_files(reference):
        cells = read_baseline(path)
        for device in dict.fromkeys(cell.device for cell in cells):
            own = [cell for cell in cells if cell.device == device]
            newest = max((cell.saved for cell in own), key=lambda saved: saved.when)
            suites = ", ".join(sorted({cell.record.cell.suite for cell in own}))
            noise = "yes" if any(cell.repeated for cell in own) else "no"
            body.append(entries([path.stem, device, suites, str(len(own)), noise, newest.who, f"{newest.when:%Y-%m-%d %H:%M}", newest.run]))
    return Table("baselines", "Baselines", name_columns(["name", "device", "suite", "cells", "noise", "saved by", "on (UTC)", "from"]), tuple(body))


def baseline_tables(name: str, reference: Path = REFERENCE) -> list[Table]:
    """The cells of the baseline of that name, a table per device; raises UnknownName."""
    files = baseline_files(reference, name) if id_trouble(name) is None else []
    if not files:
        raise UnknownName("baseline", name, {file.stem for file in baseline_files(reference)})
    return [table for path in files for table in _tables(path)]


def _tables(path: Path) -> Iterator[Table]:
    cells = read_baseline(path)
    for device in dict.fromkeys(cell.device for cell in cells):
        own = [cell for cell in cells if cell.device == device]
        columns = (*name_columns([*AXES, "outcome"]), Column("score"), Column("peak memory"), *name_columns(["id"]))
        notes = tuple(dict.fromkeys(f"Saved by {cell.saved.who} on {cell.saved.when:%Y-%m-%d %H:%M} UTC from {cell.saved.run}." for cell in own))
        repeats = max((found.n for cell in own for found in cell.repeated.values()), default=0)
        notes += (f"With the noise of {repeats} A/A repeats." if repeats else "Without A/A repeats: single costs are undecided (harness noise).",)
        yield Table(path.stem, f"{path.stem} on {device}", columns, tuple(_line(row(cell.record)) for cell in own), notes)


def _line(found: Row) -> tuple[Entry, ...]:
    key = headline([found])
    score = found.reading(key) if key is not None else None
    peak = found.reading(PEAK)
    texts = [str(found.axes[axis]) for axis in AXES]
    shown = describe(key, [found]).show(score.value) + f" {key}" if key is not None and score is not None else MISSING
    return entries([*texts, found.record.outcome.status, shown, describe(PEAK).show(peak.value if peak else None), found.record.cell.id])
