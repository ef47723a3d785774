"""One cell in progress, seen from the run's process: its processes, what they told, how long they may take."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from harness.errors import HarnessError, StorageError
from harness.measure.board import Board
from harness.measure.phases import PhaseReading
from harness.records.schema import CellResult, Outcome
from harness.runs import forkserver
from harness.runs.events import Ended, Event, PhaseEnded, PhaseStarted, ResultSoFar
from harness.runs.executors.base import Execution, Work
from harness.runs.log import redact_log
from harness.runs.oom_kills import OomKills
from harness.runs.outcomes import outcome_of_exit, outcome_of_timeout
from harness.runs.phase_time import PhaseTime
from harness.runs.process_tree import signal_tree
from harness.runs.scratch import scratch_of_a_cell
from harness.runs.worker import Order, watch, work
from harness.suite.cell import Cell

GRACE_SECONDS = 5.0
GOODBYE_SECONDS = 10.0
SAMPLER_SECONDS = 10.0


class RunningCell:
    """A cell from the start of its process to its end.

    said_goodbye: whether it came to its end by itself and said how. Raises StorageError when its folders cannot
    be made.
    """

    def __init__(self, cell: Cell, given: Work, oom_kills: OomKills) -> None:
        self.cell = cell
        self.said_goodbye = False
        self._oom_kills, self._kills_before = oom_kills, oom_kills.count()
        self._readings: list[PhaseReading] = []
        self._result = CellResult()
        self._outcome: Outcome | None = None
        self._phase = PhaseTime()
        self._kill_at: float | None = None
        folder = _fresh(given.folder(cell))
        self._telemetry = folder / "telemetry.parquet"
        self._scratch = scratch_of_a_cell()
        environ = os.environ | {"TMPDIR": str(self._scratch)}
        order = Order(pickle.dumps(cell), folder, given.device, given.shared(), environ, Board.shared(forkserver.context(), given.device))
        self.started, self._began = datetime.now(UTC), time.monotonic()
        try:
            self._start(order)
        except HarnessError:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise

    def _start(self, order: Order) -> None:
        self.events, send_events = forkserver.context().Pipe(duplex=False)
        is_watched, now_watched = forkserver.context().Pipe(duplex=False)
        told_to_stop, self._stop_sampler = forkserver.context().Pipe(duplex=False)
        self.process = forkserver.fork(work, order, send_events, is_watched)
        assert self.process.pid is not None, "a started process has a pid"
        self.pid = self.process.pid
        sampling = (self.pid, self._telemetry, self.cell.config.measure.sample_ms, told_to_stop, now_watched)
        try:
            self._sampler = forkserver.fork(watch, order, *sampling, daemon=True)
        except HarnessError:
            signal_tree(self.pid, signal.SIGKILL)
            raise
        for theirs in (send_events, is_watched, now_watched, told_to_stop):
            theirs.close()

    def waitables(self) -> list[Connection | int]:
        """What becomes ready when there is something to do: the events' pipe and the process's end."""
        end = self.process.sentinel
        return [end] if self.events.closed else [self.events, end]

    def take_events(self) -> list[Event]:
        """The events that have arrived; remembers what the record needs."""
        taken: list[Event] = []
        while not self.events.closed and self.events.poll():
            try:
                taken.append(self.events.recv())
            except (EOFError, OSError):  # the process closed it, or died in the middle of an event
                self.events.close()
                break
            self._remember(taken[-1])
        return taken

    def _remember(self, event: Event) -> None:
        if isinstance(event, PhaseStarted):
            self._phase.started(event)
        elif isinstance(event, PhaseEnded):
            self._readings.append(event.reading)
            self._phase.ended(event.reading)
        elif isinstance(event, ResultSoFar):
            self._result = event.result
        elif isinstance(event, Ended) and self._outcome is None:
            self.said_goodbye = True
            self._outcome = event.outcome
            self._kill_at = time.monotonic() + GOODBYE_SECONDS

    def ended(self) -> bool:
        """Whether the cell's process is gone."""
        return self.process.exitcode is not None

    def next_deadline(self) -> float | None:
        """The time.monotonic() at which `enforce_limits` has something to do; None: never."""
        if self._kill_at is not None:
            return self._kill_at
        return min((at for at, _, _ in self._limits()), default=None)

    def enforce_limits(self) -> None:
        """Ends the cell when it took too long; kills it when it was to end and did not."""
        now = time.monotonic()
        if self._kill_at is not None:
            if now >= self._kill_at:
                signal_tree(self.pid, signal.SIGKILL)
                self._kill_at = now + GRACE_SECONDS
            return
        for at, limit, seconds in sorted(self._limits()):
            if now >= at:
                self._outcome = outcome_of_timeout(limit, seconds, self._phase.current)
                self.end()
                return

    def _limits(self) -> list[tuple[float, str, float]]:
        limits, found = self.cell.config.limits, []
        if limits.cell_seconds is not None:
            found.append((self._began + limits.cell_seconds, "limits.cell_seconds", limits.cell_seconds))
        at, phase = self._phase.deadline(limits.phase_seconds), self._phase.current
        if at is not None and phase is not None:
            found.append((at, f"limits.phase_seconds.{phase}", limits.phase_seconds[phase]))
        return found

    def end(self) -> None:
        """Asks the cell's processes to end, and kills them after a grace."""
        self._kill_at = time.monotonic() + GRACE_SECONDS
        signal_tree(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kills the cell's processes, the sampler included, and waits until they are gone (or stuck in the kernel)."""
        for process in (self.process, self._sampler):
            assert process.pid is not None, "a started process has a pid"
            signal_tree(process.pid, signal.SIGKILL)
            process.join(GRACE_SECONDS)
        redact_log(self._telemetry.parent)
        self._clear_half_written()
        self._close()

    def execution(self, server_lives: bool) -> Execution:
        """What became of the cell, once `ended`; ends what it left behind in its process group.

        server_lives: whether the fork server, who knows the exit code, is still there.
        """
        signal_tree(self.pid, signal.SIGKILL)
        self.take_events()
        # not asked of the wall clock, which may have been set meanwhile
        finished, notes = self.started + timedelta(seconds=time.monotonic() - self._began), []
        outcome = self._outcome or self._unspoken_outcome(server_lives)
        self._close_phase()
        self._stop_sampler.close()
        self._sampler.join(SAMPLER_SECONDS)
        if self._sampler.exitcode != 0:
            notes.append("the telemetry sampler failed; the cell's log.txt says why")
            signal_tree(self._sampler.pid or 0, signal.SIGKILL)
        told = redact_log(self._telemetry.parent)
        notes += [told] if told else []
        self._clear_half_written()
        self._close()
        telemetry = self._telemetry if self._telemetry.exists() else None
        return Execution(self.cell, outcome, self.started, finished, self._readings, self._result, telemetry, notes)

    def _clear_half_written(self) -> None:
        """Removes what the cell's processes kept for a while and did not live to remove: a merged model takes gigabytes."""
        for left in self._telemetry.parent.glob(".*.tmp"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _close_phase(self) -> None:
        """The phase that the cell died in ends with it: the sampler saw what the cell can no longer tell."""
        if self._phase.current is not None and self._phase.since is not None:
            self._readings.append(PhaseReading(self._phase.current, self._phase.since, time.monotonic()))
            self._phase.since = None

    def _unspoken_outcome(self, server_lives: bool) -> Outcome:
        code = self.process.exitcode if server_lives else None
        killed_for_memory = code in (None, -signal.SIGKILL) and self._oom_kills.claim(self._kills_before)
        return outcome_of_exit(code, self._phase.current, killed_for_memory)

    def _close(self) -> None:
        self.events.close()
        self._stop_sampler.close()


def _fresh(folder: Path) -> Path:
    """The cell's folder without anything of an earlier attempt."""
    try:
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder
