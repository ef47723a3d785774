"""A watcher that remembers what the executor told it."""

from __future__ import annotations

from collections.abc import Callable

from harness.runs.events import Event
from harness.runs.executors.base import Execution
from harness.suite.cell import Cell


class Collected:
    """A watcher that keeps what it is told; `when` is called with every event."""

    def __init__(self, when: Callable[[Cell, Event], None] | None = None) -> None:
        self.started: list[Cell] = []
        self.events: list[tuple[str, Event]] = []
        self.ended: dict[str, Execution] = {}
        self.stops: list[bool] = []
        self._when = when

    def cell_started(self, cell: Cell) -> None:
        self.started.append(cell)

    def cell_event(self, cell: Cell, event: Event) -> None:
        self.events.append((cell.id, event))
        if self._when is not None:
            self._when(cell, event)

    def cell_ended(self, execution: Execution) -> None:
        self.ended[execution.cell.id] = execution

    def stopping(self, at_once: bool) -> None:
        self.stops.append(at_once)
