"""How long the cells that are left will take, as those that have ended tell; asked twice a second, whatever their number."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import TypeAlias

from harness.records.parts import Status
from harness.suite.cell import Cell

CellGroup: TypeAlias = tuple[str, str]


def group_of(cell: Cell) -> CellGroup:
    """Cells of one model and task are expected to take equally long."""
    return cell.labels.model, cell.labels.task


class Pace:
    """A cell is expected to take the median of what cells of its group took, or else of what all did."""

    def __init__(self) -> None:
        self._sorted: dict[CellGroup, list[float]] = {}
        self._sorted_all: list[float] = []

    def add(self, group: CellGroup, status: Status, seconds: float) -> None:
        """One cell more has ended; only those that went through say how long one takes."""
        if status == "ok":
            insort(self._sorted.setdefault(group, []), seconds)
            insort(self._sorted_all, seconds)

    def seconds(self, group: CellGroup) -> float | None:
        """Expected seconds of a cell of that group; None before any has ended."""
        known = self._sorted.get(group) or self._sorted_all
        middle = len(known) // 2
        return (known[middle] + known[~middle]) / 2 if known else None

    def left(self, running: Mapping[str, tuple[CellGroup, float]], waiting: Mapping[CellGroup, int], jobs: int) -> float | None:
        """Expected seconds until all have ended. running: by cell id, the group and the seconds since the start; waiting: cells by group."""
        if not self._sorted_all:
            return None
        begun = sum(max(0.0, (self.seconds(group) or 0.0) - spent) for group, spent in running.values())
        return (begun + sum(count * (self.seconds(group) or 0.0) for group, count in waiting.items())) / jobs
