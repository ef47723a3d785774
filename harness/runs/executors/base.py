"""What an executor is: it runs cells, each isolated from the others, and hands back how each of them ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from harness.measure.phases import PhaseReading
from harness.records.schema import CellResult, Outcome
from harness.registry import Registry
from harness.runs.events import Event
from harness.runs.stop import Stop
from harness.suite.cell import Cell

EXECUTORS: Registry[Executor]


@dataclass(frozen=True)
class Work:
    """What an executor is given: cells that can run here, the run's directory, the device, and how many at once."""

    cells: Sequence[Cell]
    run: Path
    device: str
    jobs: int = 1

    def folder(self, cell: Cell) -> Path:
        """Where that cell's log, telemetry and products go."""
        return self.run / "cells" / cell.id

    def shared(self) -> Path:
        """Where cells of this run leave what others can use."""
        return self.run / "shared"


@dataclass(frozen=True)
class Execution:
    """How one cell was executed: all that its record is made of.

    readings: of every phase that ended. result: the last one that it reported. telemetry: the sampler's file,
    None where there is none.
    """

    cell: Cell
    outcome: Outcome
    started: datetime
    finished: datetime
    readings: list[PhaseReading] = field(default_factory=list)
    result: CellResult = field(default_factory=CellResult)
    telemetry: Path | None = None
    notes: list[str] = field(default_factory=list)


class Watcher(Protocol):
    """Who is told how the cells get on."""

    def cell_started(self, cell: Cell) -> None:
        """A process was started for it."""

    def cell_event(self, cell: Cell, event: Event) -> None:
        """Its process reported something."""

    def cell_ended(self, execution: Execution) -> None:
        """It is through, whatever its outcome; may raise StorageError, which ends the run."""

    def stopping(self, at_once: bool) -> None:
        """The run was asked to stop: no further cell is started."""


class Executor(ABC):
    """One place to run cells. A subclass registers itself and implements `run`."""

    @abstractmethod
    def run(self, work: Work, watcher: Watcher, stop: Stop) -> None:
        """Runs every cell and tells the watcher; returns when all have ended.

        When `stop` is asked once, no further cell is started and those in progress are ended without being
        reported as ended; asked twice, they are killed at once. When `stop.starts_no_more` without having been asked, those
        in progress come to their end. No process of a cell is left when this returns or raises.
        """


EXECUTORS = Registry("executor", "harness.runs.executors", "harness.executors")
