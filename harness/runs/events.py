"""What a cell's process tells its parent while it lives. Small, picklable, sent as things happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.measure.phases import PhaseReading
from harness.records.parts import PhaseName
from harness.records.schema import CellResult, Outcome


@dataclass(frozen=True)
class PhaseStarted:
    """A phase began at `at` (time.monotonic() seconds). interrupts: within another one, or that goes on after it."""

    phase: PhaseName
    at: float
    interrupts: bool = False


@dataclass(frozen=True)
class PhaseEnded:
    """A phase ended, with its readings; also sent when it ended by an exception."""

    reading: PhaseReading


@dataclass(frozen=True)
class Progress:
    """Where the current phase stands: optimizer steps in train, batches in evaluate."""

    done: int
    total: int


@dataclass(frozen=True)
class ResultSoFar:
    """All results of the cell up to now; the last one received is the cell's result."""

    result: CellResult


@dataclass(frozen=True)
class Ended:
    """The cell's process is through; nothing follows."""

    outcome: Outcome


Event = PhaseStarted | PhaseEnded | Progress | ResultSoFar | Ended
Report = Callable[[Event], None]
