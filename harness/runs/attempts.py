"""How often a cell has been tried, why it was tried again, and how often it still may be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from harness.records.parts import Status
from harness.records.schema import EarlierAttempt, Record
from harness.suite.retries import Retries


@dataclass(frozen=True)
class Before:
    """What went before an attempt. retries: attempts; earlier: why each was no result (of attempts that older versions made, only their number is known)."""

    retries: int = 0
    earlier: tuple[EarlierAttempt, ...] = ()


def before_next(record: Record) -> Before:
    """What a further attempt at that cell has before it."""
    last = record.outcome
    attempt = EarlierAttempt(status=last.status, phase=last.phase, message=last.message, ended=record.finished)
    return Before(last.retries + 1, (*last.earlier, attempt))


class Attempts:
    """The attempts of one run. before: by cell id, of cells that have been tried."""

    def __init__(self, limits: Retries) -> None:
        self.before: dict[str, Before] = {}
        self._limits = limits
        self._retried: Counter[tuple[str, Status]] = Counter()

    def of(self, cell_id: str) -> Before:
        """What went before the next attempt at that cell."""
        return self.before.get(cell_id, Before())

    def once_more(self, record: Record) -> str | None:
        """The reason why that cell is tried again in this run, which is counted; None where it is not."""
        status = record.outcome.status
        kind = (record.cell.id, status)
        if self._retried[kind] >= self._limits.of(status):
            return None
        self._retried[kind] += 1
        self.before[record.cell.id] = before_next(record)
        return f"tried again because it ended as {status} (retries.{status}: {self._retried[kind]} of {self._limits.of(status)})"
