"""Kills: whom, how and when, drawn from a seed, so that one that went wrong can be repeated."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from twelve_cells import CELLS, Place

POLL_SECONDS = 0.005
AT_ONCE = ("SIGKILL to a cell", "SIGKILL to its sampler", "SIGKILL to the fork server")
VICTIMS = ("SIGKILL to the run", *AT_ONCE, "SIGTERM to the run", "SIGINT from the terminal", "SIGINT twice", "SIGHUP of the terminal")


@dataclass(frozen=True)
class Pace:
    """Seconds of an undisturbed run: until its first record, from record to record, and from the last one to its end."""

    start: float
    cell: float
    close: float


@dataclass(frozen=True)
class Kill:
    """One kill. after: how many records are there when it is due, -1 for none and the run only just started; part: how far into
    what comes next."""

    seed: int
    victim: str
    after: int
    part: float

    @classmethod
    def drawn(cls, seed: int) -> Kill:
        """The kill of that seed: victims take turns, moments are drawn; processes of cells are there between the first and the last one."""
        draw, victim = random.Random(seed), VICTIMS[seed % len(VICTIMS)]
        return cls(seed, victim, draw.randint(0, CELLS - 1) if victim in AT_ONCE else draw.randint(-1, CELLS), round(draw.random(), 3))

    def strike(self, process: subprocess.Popen[bytes], place: Place, pace: Pace) -> float | None:
        """Waits for the moment and kills; returns the seconds since the start, None where the run had ended before."""
        begun = time.monotonic()
        while len(list((place.run / "records").glob("*.json"))) < self.after and process.poll() is None:
            time.sleep(POLL_SECONDS)
        time.sleep(self.part * (pace.start if self.after < 0 else pace.close if self.after == CELLS else pace.cell))
        while process.poll() is None:
            target = self._target(process, place.run)
            if target is not None:
                target()
                return time.monotonic() - begun
            time.sleep(POLL_SECONDS)
        return None

    def _target(self, process: subprocess.Popen[bytes], run: Path) -> Callable[[], None] | None:
        """What kills; None while the process that it is meant for is not there."""
        if self.victim == "SIGKILL to the run":
            return process.kill
        if self.victim == "SIGTERM to the run":
            return process.terminate
        if self.victim == "SIGHUP of the terminal":
            return lambda: os.killpg(process.pid, signal.SIGHUP)
        if self.victim == "SIGINT from the terminal":
            return lambda: os.killpg(process.pid, signal.SIGINT)
        if self.victim == "SIGINT twice":
            return lambda: self._twice(process)
        server = fork_server(process.pid)
        if server is None or self.victim == "SIGKILL to the fork server":
            return server and server.kill
        pair = cell_and_sampler(server, run)
        return pair and pair[AT_ONCE.index(self.victim)].kill

    def _twice(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(self.part)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)


def fork_server(run: int) -> psutil.Process | None:
    """The fork server of the run with that pid, once it is there."""
    try:
        children = psutil.Process(run).children()
        return next((child for child in children if "multiprocessing.forkserver" in " ".join(child.cmdline())), None)
    except psutil.NoSuchProcess:
        return None


def cell_and_sampler(server: psutil.Process, run: Path) -> tuple[psutil.Process, psutil.Process] | None:
    """The two processes of the cell in progress, told by the log that they write to; the cell's is forked first."""
    try:
        found = sorted((child for child in server.children() if _writes_below(child, run / "cells")), key=lambda child: child.pid)
    except psutil.NoSuchProcess:
        return None
    return (found[0], found[1]) if len(found) == 2 else None


def _writes_below(process: psutil.Process, folder: Path) -> bool:
    try:
        return os.readlink(f"/proc/{process.pid}/fd/1").startswith(str(folder))
    except OSError:  # it is just ending
        return False
