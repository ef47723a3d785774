"""The phases of a cell, measured from inside its process: wall time and the peaks of memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.measure import torch_memory
from harness.measure.board import Board
from harness.measure.host import HostPeak
from harness.measure.phases import PhaseReading
from harness.records.parts import PhaseName


class PhaseMeter:
    """Measures phases one after the other, or one that interrupts another.

    device: `cpu` or `cuda`. started(phase, at): called when a phase begins, with time.monotonic() seconds.
    ended(reading): called when it ends, also when by an exception. current: the phase that is running. interrupts: whether
    it runs within another, or that goes on after it. failed_in: the phase that an exception escaped from. notes: what the
    record must tell of the readings. board: where the sampler sees how far the cell is.
    """

    def __init__(
        self,
        device: str,
        started: Callable[[PhaseName, float], None],
        ended: Callable[[PhaseReading], None],
        board: Board | None = None,
    ) -> None:
        self.device = device
        self.current: PhaseName | None = None
        self.interrupts = False
        self.failed_in: PhaseName | None = None
        self.notes: list[str] = []
        self._started, self._ended = started, ended
        self._board = board or Board(device)
        self._host = HostPeak()
        self._begun = 0.0

    @contextmanager
    def phase(self, name: PhaseName) -> Iterator[None]:
        """One phase. Within another it interrupts that one, whose reading ends before and begins anew afterwards: neither
        has the other's time and memory.

        CUDA is synchronised at both ends, so that the phase gets the work that it queued and no other; not after an
        exception, because a broken device would hide it behind another one.
        """
        interrupted = self.current
        if interrupted is not None:
            torch_memory.synchronise(self.device)
            self._end()
        self._begin(name, interrupts=interrupted is not None)
        try:
            yield
            torch_memory.synchronise(self.device)
            self.failed_in = None
        finally:
            if self.current is not None:  # else an exception ended it in the phase that interrupted it
                self._end()
        if interrupted is not None:
            self._begin(interrupted, interrupts=True)

    def _begin(self, name: PhaseName, interrupts: bool) -> None:
        self.failed_in = name
        torch_memory.synchronise(self.device)
        torch_memory.reset_peaks(self.device)
        self._host = HostPeak()
        self._host.start()
        self._begun = time.monotonic()
        self.current, self.interrupts = name, interrupts
        self._board.phase(interrupts)
        self._started(name, self._begun)

    def _end(self) -> None:
        assert self.current is not None, "a phase runs"
        name, self.current = self.current, None
        ended = time.monotonic()
        peaks = torch_memory.read_peaks(self.device)
        self._board.show_torch()
        if self._host.fallback is not None and self._host.fallback not in self.notes:
            self.notes.append(self._host.fallback)
        self._ended(PhaseReading(name, self._begun, ended, peaks.allocated, peaks.reserved, self._host.read()))
