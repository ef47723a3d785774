"""One run: from a suite to records on disk, going on where an earlier run of it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol

from harness.errors import StorageError
from harness.records.parts import Status
from harness.records.schema import Environment, Record
from harness.records.store import RecordStore
from harness.runs.assemble import record_of, unsupported_record
from harness.runs.attempts import Attempts
from harness.runs.cache import quantized_weights_folder
from harness.runs.directory import make_folder, opened
from harness.runs.events import Event
from harness.runs.executors.base import EXECUTORS, Execution, Executor, Work
from harness.runs.fit import FitSearches
from harness.runs.lock import no_waiting
from harness.runs.prepare import RunOptions, prepare
from harness.runs.resume import Finished, remaining, set_aside
from harness.runs.scratch import remove_abandoned
from harness.runs.stop import Stop
from harness.suite.cell import Cell
from harness.suite.identity import IDENTITY_VERSION, is_current
from harness.suite.retries import Retries
from harness.suite.schema import Suite

# Out of memory, divergence and an impossible combination are what a suite is there to find out; these are not.
LOCK_POLL_SECONDS = 0.5
FAILURES: frozenset[Status] = frozenset({"failed", "timeout"})


@dataclass
class RunSummary:
    """What became of the selected cells. reused: records of an earlier run. interrupted: stopped before its end, by a person
    or by max_failures."""

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

    def begin(self, run: Path, cells: Sequence[Cell], finished: Sequence[Finished], jobs: int) -> None:
        """These cells will run now; those were finished before."""

    def cell_started(self, cell: Cell) -> None:
        """A process was started for it."""

    def cell_event(self, cell: Cell, event: Event) -> None:
        """Its process reported something."""

    def cell_recorded(self, cell: Cell, record: Record) -> None:
        """Its record was written."""

    def cell_again(self, cell: Cell, record: Record, reason: str) -> None:
        """Its record was written and is not the last: the cell will run once more, and why."""

    def note(self, text: str) -> None:
        """Something that the person should know."""


def run_suite(suite: Suite, options: RunOptions, display: Display) -> RunSummary:
    """Runs the suite's cells that have no finished record yet, and writes their records.

    Ctrl-C, SIGTERM or the end of the terminal ends it early: records that were written stay, the cells in progress are forgotten. Raises
    what plan, directory and disk raise (SuiteError, NotARun, RunInUse, StorageError, ...) before or between cells.
    """
    executor = EXECUTORS.get(options.executor)()
    ready = prepare(suite, options)
    remove_abandoned()
    stop = Stop()
    waiting = _Patience(ready.run, display, stop) if options.wait else no_waiting
    try:
        with stop.on_signals(), opened(ready.run, ready.contents, waiting) as store:
            for problem in ready.plan.problems:
                display.note(str(problem))
            _announce_outdated(ready.left_behind, display)
            _announce_superseded(set_aside(store, ready.plan.cells), display)
            if options.own_weights:
                make_folder(quantized_weights_folder(ready.run / "shared"))
            recorder = Recorder(
                ready.run, store, ready.contents.environment, display, options.jobs, len(ready.selected),
                options.searches, suite.retries, options.max_failures,
            )  # fmt: skip
            recorder.go_on(ready.selected, options.fresh, executor, stop)
            return recorder.summary
    finally:
        stop.close()


class _Patience:
    """Waits while another process runs in the directory, until the person has had enough."""

    def __init__(self, run: Path, display: Display, stop: Stop) -> None:
        self._run, self._display, self._stop = run, display, stop
        self._told: str | None = None

    def __call__(self, holder: str) -> bool:
        """See lock.Waiting."""
        if holder != self._told:
            self._told = holder
            self._display.note(f"{self._run} is in use by {holder}: waiting for its end, to go on with what it leaves (Ctrl-C ends the waiting)")
        wait([self._stop.fileno()], LOCK_POLL_SECONDS)
        return not self._stop.times


class Recorder:
    """Turns what the executor reports into records, counts them, and has cells tried again."""

    def __init__(
        self, run: Path, store: RecordStore, where: Environment, display: Display, jobs: int, selected: int,
        searches: bool = True, retries: Retries | None = None, max_failures: int | None = None,
    ) -> None:  # fmt: skip
        self.store, self.where, self.display, self.jobs = store, where, display, jobs
        self.summary = RunSummary(run, selected)
        self.attempts = Attempts(retries or Retries())
        self.fits = FitSearches(run, store, where, display.note, wanted=searches)
        self._max_failures, self._failed = max_failures, set[str]()
        self._again: list[Cell] = []
        self._stop: Stop | None = None

    def go_on(self, selected: Sequence[Cell], fresh: bool, executor: Executor, stop: Stop) -> None:
        """Runs what is left of the selected cells, again those that shall be tried again, and then the searches for what fits."""
        self._stop = stop
        left = remaining(selected, self.store, fresh)
        for one in left.finished:
            if one.waiting is not None:
                self.fits.add(one.cell, one.waiting)
        self.attempts.before = left.before
        self.summary.reused = len(left.finished)
        self.summary.statuses.update(one.status for one in left.finished)
        self.display.begin(self.summary.run, left.cells, left.finished, self.jobs)
        for cell in left.cells:
            if cell.unsupported is not None:
                self._write(cell, unsupported_record(cell, self.where))
        runnable = [cell for cell in left.cells if cell.unsupported is None]
        self._execute(Work(runnable, self.summary.run, self.where.device, self.jobs), executor, stop)
        waiting = sum(self.summary.statuses.values()) < self.summary.selected or bool(self.fits.waiting)
        self.summary.interrupted = stop.starts_no_more and waiting

    def _execute(self, work: Work, executor: Executor, stop: Stop) -> None:
        try:
            while work.cells and not stop.starts_no_more:
                executor.run(work, self, stop)
                work, self._again = replace(work, cells=self._again), []
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
        cell = execution.cell
        record = record_of(execution, self.where, self.attempts.of(cell.id))
        reason = self.attempts.once_more(record) if self._goes_on_after(record) else None
        if reason is None:
            self._write(cell, record)
            return
        self.store.write(record)  # whatever becomes of the next attempt
        self._again.append(cell)
        self.display.cell_again(cell, record, reason)

    def _goes_on_after(self, record: Record) -> bool:
        """Whether further cells may be started; not once as many cells stand as failed as may."""
        assert self._stop is not None, "go_on comes first"
        if record.outcome.status not in FAILURES:
            self._failed.discard(record.cell.id)  # it was tried again
        else:
            self._failed.add(record.cell.id)
        if self._max_failures is not None and len(self._failed) >= self._max_failures and not self._stop.starts_no_more:
            self._stop.start_no_more()
            self.display.note(f"no further cell is started: {len(self._failed)} failed or took too long (--max-failures {self._max_failures})")
        return not self._stop.starts_no_more

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
