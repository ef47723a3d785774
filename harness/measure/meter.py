"""The phases of a cell, measured from inside its process: wall time and the peaks of memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.measure import torch_memory
from harness.measure.host import HostPeak
from harness.measure.phases import PhaseReading
from harness.records.schema import PhaseName


class PhaseMeter:
    """Measures phases one after the other.

    device: `cpu` or `cuda`. started(phase, at): called when a phase begins, with time.monotonic() seconds.
    ended(reading): called when it ends, also when by an exception. current: the phase that is running.
    failed_in: the phase that an exception escaped from. notes: what the record must tell of the readings.
    """

    def __init__(
        self,
        device: str,
        started: Callable[[PhaseName, float], None],
        ended: Callable[[PhaseReading], None],
    ) -> None:
        self.device = device
        self.current: PhaseName | None = None
        self.failed_in: PhaseName | None = None
        self.notes: list[str] = []
        self._started, self._ended = started, ended

    @contextmanager
    def phase(self, name: PhaseName) -> Iterator[None]:
        """One phase. CUDA is synchronised at both ends, so that the phase gets the work that it queued and no other;
        not after an exception, because a broken device would hide it behind another one."""
        assert self.current is None, f"phase {name} inside phase {self.current}"
        self.failed_in = name
        torch_memory.synchronise(self.device)
        torch_memory.reset_peaks(self.device)
        host = HostPeak()
        host.start()
        begun = time.monotonic()
        self.current = name
        self._started(name, begun)
        try:
            yield
            torch_memory.synchronise(self.device)
            self.failed_in = None
        finally:
            self.current = None
            self._ended(self._read(name, begun, host))

    def _read(self, name: PhaseName, begun: float, host: HostPeak) -> PhaseReading:
        ended = time.monotonic()
        peaks = torch_memory.read_peaks(self.device)
        if host.fallback is not None and host.fallback not in self.notes:
            self.notes.append(host.fallback)
        return PhaseReading(name, begun, ended, peaks.allocated, peaks.reserved, host.read())
