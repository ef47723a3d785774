"""One run: from a suite to records on disk, going on where an earlier run of it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from harness.errors import StorageError
from harness.measure.environment import environment, machine
from harness.records.parts import Status
from harness.records.schema import Environment, Record
from harness.records.store import RecordStore
from harness.runs.assemble import record_of, unsupported_record
from harness.runs.cache import quantized_weights_folder
from harness.runs.directory import Contents, RunFacts, choose, make_folder, opened, outdated
from harness.runs.events import Event
from harness.runs.executors.base import EXECUTORS, Execution, Executor, Work
from harness.runs.fit import FitSearches
from harness.runs.resume import remaining, select, set_aside
from harness.runs.stop import Stop
from harness.suite.cell import Cell
from harness.suite.exclude import place
from harness.suite.identity import IDENTITY_VERSION, is_current
from harness.suite.load import resolved_yaml
from harness.suite.plan import make_plan
from harness.suite.schema import Suite

# Out of memory, divergence and an impossible combination are what a suite is there to find out; these are not.
FAILURES: frozenset[Status] = frozenset({"failed", "timeout"})


@dataclass(frozen=True)
class RunOptions:
    """What the command line says of a run. out: None for results/<suite>/<timestamp> or the newest unfinished one.

    own_weights: quantized weights are made anew in the run directory, none is taken from the user's cache or left there.
    searches: what fits is searched where the suite asks for it (`measure.fit`).
    """

    out: Path | None = None
    only: Sequence[str] = ()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    executor: str = "local"
    jobs: int = 1
    fresh: bool = False
    results: Path = Path("results")
    own_weights: bool = False
    searches: bool = True


@dataclass
class RunSummary:
    """What became of the selected cells. reused: records of an earlier run. interrupted: stopped before its end."""

    run: Path
    selected: int
    statuses: Counter[Status] = field(default_factory=Counter)
    reused: int = 0
    interrupted: bool = False

    @property
    def nothing_ran(self) -> bool:
        """Whether every cell that ended was unsupported, so that nothing was measured."""
        return 0 < self.statuses.total() == self.statuses["unsupported"]

    @property
    def exit_code(self) -> int:
        """1 when a cell failed or took too long, when not one of them could run, or the run was stopped; else 0.

        A cell that is unsupported among others is what a cross is there to find out; a run of nothing else is a mistake in the suite, or
        on the wrong machine, which a script must not take for a success.
        """
        return int(self.interrupted or self.nothing_ran or any(self.statuses[status] for status in FAILURES))


class Display(Protocol):
    """Who shows a person how the run gets on."""

    def begin(self, run: Path, cells: Sequence[Cell], finished: Sequence[Record], jobs: int) -> None:
        """These cells will run now; those were finished before."""

    def cell_started(self, cell: Cell) -> None:
        """A process was started for it."""

    def cell_event(self, cell: Cell, event: Event) -> None:
        """Its process reported something."""

    def cell_recorded(self, cell: Cell, record: Record) -> None:
        """Its record was written."""

    def note(self, text: str) -> None:
        """Something that the person should know."""


def run_suite(suite: Suite, options: RunOptions, display: Display) -> RunSummary:
    """Runs the suite's cells that have no finished record yet, and writes their records.

    Ctrl-C or SIGTERM ends it early: records that were written stay, the cells in progress are forgotten. Raises
    what plan, directory and disk raise (SuiteError, NotARun, RunInUse, StorageError, ...) before or between cells.
    """
    target = machine(options.device)
    executor = EXECUTORS.get(options.executor)()
    plan = make_plan(suite, target)
    selected = select(plan.cells, options.only)
    device: Literal["cpu", "cuda"] = "cuda" if target.device == "cuda" else "cpu"
    facts = RunFacts(suite=suite.name, profile=suite.profile, device=device, planned={cell.id: place(cell.labels) for cell in plan.cells})
    contents = Contents(facts, resolved_yaml(suite), environment(device))
    run = choose(facts, options.out, options.results, options.fresh)
    left_behind = outdated(facts, options.results) if options.out is None and not options.fresh else None
    stop = Stop()
    try:
        with stop.on_signals(), opened(run, contents) as store:
            for problem in plan.problems:
                display.note(str(problem))
            _announce_outdated(left_behind, display)
            _announce_superseded(set_aside(store, plan.cells), display)
            if options.own_weights:
                make_folder(quantized_weights_folder(run / "shared"))
            recorder = Recorder(run, store, contents.environment, display, options.jobs, len(selected), options.searches)
            recorder.go_on(selected, options.fresh, executor, stop)
            return recorder.summary
    finally:
        stop.close()


class Recorder:
    """Turns what the executor reports into records, and counts them."""

    def __init__(
        self, run: Path, store: RecordStore, where: Environment, display: Display, jobs: int, selected: int, searches: bool = True
    ) -> None:
        self.store, self.where, self.display, self.jobs = store, where, display, jobs
        self.summary = RunSummary(run, selected)
        self.retries: dict[str, int] = {}
        self.fits = FitSearches(run, store, where, display.note, wanted=searches)

    def go_on(self, selected: Sequence[Cell], fresh: bool, executor: Executor, stop: Stop) -> None:
        """Runs what is left of the selected cells, and then of the searches for what fits."""
        left = remaining(selected, self.store, fresh)
        cells = {cell.id: cell for cell in selected}
        for record in left.finished:
            self.fits.add(cells[record.cell.id], record)
        self.retries = left.retries
        self.summary.reused = len(left.finished)
        self.summary.statuses.update(record.outcome.status for record in left.finished)
        self.display.begin(self.summary.run, left.cells, left.finished, self.jobs)
        for cell in left.cells:
            if cell.unsupported is not None:
                self._write(cell, unsupported_record(cell, self.where))
        runnable = [cell for cell in left.cells if cell.unsupported is None]
        self._execute(Work(runnable, self.summary.run, self.where.device, self.jobs), executor, stop)
        waiting = sum(self.summary.statuses.values()) < self.summary.selected or bool(self.fits.waiting)
        self.summary.interrupted = stop.times > 0 and waiting

    def _execute(self, work: Work, executor: Executor, stop: Stop) -> None:
        try:
            if work.cells:
                executor.run(work, self, stop)
            self.fits.make(executor, stop)
        except StorageError as error:
            kept = f"{sum(self.summary.statuses.values())} records are kept in {work.run}"
            raise StorageError(f"{error}; {kept}: make room and repeat the command to go on") from error

    def cell_started(self, cell: Cell) -> None:
        """See executors.base.Watcher."""
        self.display.cell_started(cell)

    def cell_event(self, cell: Cell, event: Event) -> None:
        """See executors.base.Watcher."""
        self.display.cell_event(cell, event)

    def stopping(self, at_once: bool) -> None:
        """See executors.base.Watcher."""
        self.display.note("stopping at once" if at_once else "stopping: the cells in progress are ended (once more: at once)")

    def cell_ended(self, execution: Execution) -> None:
        """Writes the cell's record; raises StorageError."""
        if self.jobs > 1:
            execution.notes.append(f"up to {self.jobs} cells ran at once on this machine: times and device-wide readings are shared")
        record = record_of(execution, self.where, self.retries.get(execution.cell.id, 0))
        self._write(execution.cell, record)

    def _write(self, cell: Cell, record: Record) -> None:
        self.store.write(record)
        self.summary.statuses[record.outcome.status] += 1
        self.fits.add(cell, record)
        self.display.cell_recorded(cell, record)


def _announce_superseded(ids: Sequence[str], display: Display) -> None:
    older = [id_ for id_ in ids if not is_current(id_)]
    if older:
        display.note(
            f"{len(older)} records were made by a harness whose cells had other ids ({older[0].partition('-')[0]}-..., now c{IDENTITY_VERSION}-...), "
            "because they meant something else: they were moved to superseded/, and their cells run again"
        )
    if len(ids) > len(older):
        display.note(f"{len(ids) - len(older)} records of cells that the suite no longer has were moved to superseded/")


def _announce_outdated(run: Path | None, display: Display) -> None:
    if run is not None:
        display.note(f"{run} is not finished, and cannot go on: its cells' ids are of another version of the harness; they run anew here")
