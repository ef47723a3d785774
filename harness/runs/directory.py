"""The run directory: which one a command means, what it must not be, and what is written into it first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from harness.errors import NotARun, RequestError, StorageError
from harness.records.json_file import read_json
from harness.records.links import refuse_links
from harness.records.parts import Part
from harness.records.planned import Planned
from harness.records.schema import Environment
from harness.records.store import RecordStore, remove_leftovers, write_atomically
from harness.runs.cache import SharedEvaluations
from harness.runs.lock import HOLDER, LOCK, Waiting, locked, no_waiting
from harness.runs.resume import awaits_fit, is_finished
from harness.suite.identity import is_current

RUN = "run.json"


class RunFacts(Part):
    """What run.json says: whose run it is, and which cells its plan had: id -> where it stands on every axis."""

    suite: str
    profile: str | None
    device: str
    planned: Planned


@dataclass(frozen=True)
class Contents:
    """What is written into a run directory before its first cell runs."""

    facts: RunFacts
    suite_yaml: str
    environment: Environment


def choose(facts: RunFacts, out: Path | None, results: Path, fresh: bool) -> Path:
    """The directory to run in: `out`, else the newest unfinished run of the same suite, profile and device
    (unless `fresh`) that plans some of the same cells, else a new one named by the time. Writes nothing."""
    if out is not None:
        return out
    for run, found in runs_like(facts, results / facts.suite) if not fresh else ():
        if not set(found.planned).isdisjoint(facts.planned) and not _all_finished(RecordStore(run), found.planned):
            return run
    folder = results / facts.suite
    return new_run(folder)


def outdated(facts: RunFacts, results: Path) -> Path | None:
    """The newest unfinished run of the same suite, profile and device whose cells have ids of another version, where it is the
    newest of all: `choose` cannot go on with it."""
    for run, found in runs_like(facts, results / facts.suite):
        older = bool(found.planned) and not any(is_current(id_) for id_ in found.planned)
        return run if older and not _all_finished(RecordStore(run), found.planned) else None
    return None


@contextmanager
def opened(run: Path, contents: Contents, waiting: Waiting = no_waiting) -> Iterator[RecordStore]:
    """The run directory, made, locked and with its first files written; yields its records. waiting: what to do while another process has it.

    Raises NotARun where other files or another suite's run are, RequestError for a run on another device,
    RunInUse, StorageError.
    """
    check(run, contents.facts)
    make_folder(run)
    with locked(run, waiting):
        check(run, contents.facts)  # again: another run may have been here between the look and the lock
        for folder in (run, run / "records", SharedEvaluations(run / "shared").folder):
            remove_leftovers(folder)  # of a run that was killed
        write_atomically(run / RUN, contents.facts.model_dump_json(indent=1) + "\n")
        write_atomically(run / "suite.yaml", contents.suite_yaml)
        write_atomically(run / "environment.json", contents.environment.model_dump_json(indent=1) + "\n")
        yield RecordStore(run)


def make_folder(folder: Path) -> None:
    """The folder, with those above it; raises StorageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}") from error


def check(run: Path, facts: RunFacts) -> None:
    """Raises NotARun or RequestError when `run` holds anything but a run that this one continues; nothing at all is fine."""
    if not run.exists():
        return
    if not run.is_dir():
        raise NotARun(f"{run} is a file; --out takes a directory")
    refuse_links(run)
    others = [entry.name for entry in run.iterdir() if not _ours(entry.name)]
    if not others:
        return
    found = _facts(run)
    if found is None:
        some = ", ".join(sorted(others)[:3])
        raise NotARun(f"{run} is no run directory and not empty ({some}); give a new directory with --out")
    if (found.suite, found.profile) != (facts.suite, facts.profile):
        raise NotARun(
            f"{run} is a run of {_name(found)}, and this is {_name(facts)}; give another directory with --out"
        )
    if found.device != facts.device:
        raise RequestError(
            f"{run} was run on {found.device}, and this would be on {facts.device}: their costs do not compare; "
            f"give --device {found.device}, or another directory with --out"
        )


def _name(facts: RunFacts) -> str:
    return f"suite {facts.suite}" + (f" with profile {facts.profile}" if facts.profile else "")


def _facts(run: Path) -> RunFacts | None:
    try:
        return RunFacts.model_validate(read_json(run / RUN))
    except (OSError, ValueError, ValidationError):
        return None


def runs_like(facts: RunFacts, folder: Path) -> Iterator[tuple[Path, RunFacts]]:
    """The runs in that folder of the same suite, profile and device, the newest first."""
    for run in sorted((entry for entry in folder.iterdir() if entry.is_dir()), reverse=True) if folder.is_dir() else ():
        found = _facts(run)
        if found is not None and (found.suite, found.profile, found.device) == (facts.suite, facts.profile, facts.device):
            yield run, found


def _all_finished(store: RecordStore, planned: Iterable[str]) -> bool:
    if not all(store.path(cell_id).exists() for cell_id in planned):  # most unfinished runs are told by this alone
        return False
    records = (store.read(cell_id) for cell_id in planned)
    return all(record is not None and is_finished(record) and not awaits_fit(record) for record in records)


def new_run(folder: Path) -> Path:
    """A directory in that folder that is not there yet, named by the time."""
    path = folder / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    candidate, number = path, 2
    while candidate.exists():
        candidate = path.with_name(f"{path.name}_{number}")
        number += 1
    return candidate


def _ours(name: str) -> bool:
    return name in (LOCK, HOLDER) or _leftover(name)


def _leftover(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")

