"""Which phase a cell is in and for how long, what interrupted it left out: by its own reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from harness.measure.phases import PhaseReading
from harness.records.parts import PhaseName
from harness.runs.events import PhaseStarted


class PhaseTime:
    """current: the phase that the cell is in, or was in last. since: time.monotonic() when it began or went on; None once it has ended."""

    def __init__(self) -> None:
        self.current: PhaseName | None = None
        self.since: float | None = None
        self._spent: defaultdict[PhaseName, float] = defaultdict(float)

    def started(self, event: PhaseStarted) -> None:
        """A phase began; or it interrupts another, or goes on after that: then what it has taken before counts."""
        self.current, self.since = event.phase, event.at
        if not event.interrupts:
            self._spent[event.phase] = 0.0

    def ended(self, reading: PhaseReading) -> None:
        """A phase ended, or was interrupted."""
        self._spent[reading.phase] += reading.ended - reading.started
        self.since = None

    def deadline(self, limits: Mapping[PhaseName, float]) -> float | None:
        """The time.monotonic() at which the phase will have taken longer than its limit; None without one."""
        if self.current is None or self.since is None or self.current not in limits:
            return None
        return self.since + limits[self.current] - self._spent[self.current]
