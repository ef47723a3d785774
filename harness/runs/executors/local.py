"""Runs cells on this machine: every cell in a process of its own, forked from a server that has torch imported."""

from __future__ import annotations

import time
from collections import deque
from multiprocessing.connection import wait

from harness.errors import HarnessError
from harness.runs import forkserver
from harness.runs.executors.base import EXECUTORS, Executor, Watcher, Work
from harness.runs.oom_kills import OomKills
from harness.runs.process_tree import Orphans
from harness.runs.running_cell import RunningCell
from harness.runs.stop import Stop
from harness.suite.cell import Cell

MOST_SERVERS_LOST = 3  # then there is no use in going on


@EXECUTORS.register("local")
class LocalExecutor(Executor):
    """One cell after the other, or up to `jobs` at once. Whatever a process does, it costs its own cell only."""

    def run(self, work: Work, watcher: Watcher, stop: Stop) -> None:
        """Runs the cells in their order; see Executor.run."""
        queue = _Queue(work, watcher, stop)
        try:
            queue.run()
        finally:
            queue.close()


class _Queue:
    """The cells that wait and those that run."""

    def __init__(self, work: Work, watcher: Watcher, stop: Stop) -> None:
        self.server = forkserver.start(stop)
        self.work, self.watcher, self.stop = work, watcher, stop
        self.waiting: deque[Cell] = deque(work.cells)
        self.running: list[RunningCell] = []
        self.oom_kills = OomKills()
        self.orphans = Orphans()
        self.servers_lost = 0  # just when they were to fork

    def run(self) -> None:
        """Until all are through or the run is stopped."""
        while self.running or (self.waiting and not self.stop.starts_no_more):
            self._start()
            self._wait()
            self._advance()

    def close(self) -> None:
        """Leaves no process of a cell behind."""
        for running in self.running:
            running.kill()
        self.orphans.end(session=None)
        self.orphans.close()

    def _start(self) -> None:
        while self.waiting and len(self.running) < self.work.jobs and not self.stop.starts_no_more:
            if not forkserver.alive(self.server):
                self.server = forkserver.start(self.stop)
                self.orphans.keep(self.server)
                continue
            cell = self.waiting.popleft()
            try:
                running = RunningCell(cell, self.work, self.oom_kills)
            except HarnessError:
                if self.servers_lost == MOST_SERVERS_LOST or not forkserver.is_dying(self.server):
                    raise
                self.servers_lost += 1
                self.waiting.appendleft(cell)
                continue
            self.server = forkserver.server_of(running.pid) or self.server
            self.orphans.keep(self.server)
            self.running.append(running)
            self.watcher.cell_started(cell)

    def _wait(self) -> None:
        """Sleeps until a cell has something to say, has ended or has taken too long, or the run shall stop."""
        if not self.running:
            return
        deadlines = [at for running in self.running if (at := running.next_deadline()) is not None]
        timeout = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        ready = wait([self.stop.fileno(), *(one for running in self.running for one in running.waitables())], timeout)
        if self.stop.fileno() in ready:
            self.stop.seen()
            self.watcher.stopping(at_once=self.stop.times > 1)
            for running in self.running:
                running.kill() if self.stop.times > 1 else running.end()

    def _advance(self) -> None:
        for running in list(self.running):
            for event in running.take_events():
                self.watcher.cell_event(running.cell, event)
            running.enforce_limits()
            if running.ended():
                self._finish(running)

    def _finish(self, running: RunningCell) -> None:
        self.running.remove(running)
        execution = running.execution(server_lives=forkserver.alive(self.server))
        self.orphans.end(session=running.pid if self.running else None)
        # one that was ended by a stop has no outcome: it runs again when the run is gone on with
        if running.said_goodbye or not self.stop.times:
            self.watcher.cell_ended(execution)
