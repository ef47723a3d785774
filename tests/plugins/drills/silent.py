"""A display that shows nothing and keeps what it was told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.records.schema import Record
from harness.runs.events import Event
from harness.runs.resume import Finished
from harness.suite.cell import Cell


class Silent:
    """See harness.runs.run.Display."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.recorded: dict[str, Record] = {}
        self.to_run: list[str] = []
        self.again: list[tuple[str, str]] = []

    def begin(self, run: Path, cells: Sequence[Cell], finished: Sequence[Finished], jobs: int) -> None:
        self.to_run = [cell.id for cell in cells]

    def cell_started(self, cell: Cell) -> None:
        pass

    def cell_event(self, cell: Cell, event: Event) -> None:
        pass

    def cell_recorded(self, cell: Cell, record: Record) -> None:
        self.recorded[cell.id] = record

    def cell_again(self, cell: Cell, record: Record, reason: str) -> None:
        self.again.append((cell.id, reason))

    def note(self, text: str) -> None:
        self.notes.append(text)
