"""Cells over time: what the history file holds of one quantity, cell by cell, with the changes of level and what changed with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import pairwise
from math import isfinite
from pathlib import Path

from harness.analysis.change_points import change_points
from harness.analysis.columns import Row, device_name
from harness.analysis.run import read_run
from harness.analysis.statistics import mean
from harness.errors import RequestError, UnknownName
from harness.records.history import Appended, Entry, Number, Point, append, quantities_in, read_points

ABSENT = "none"
MOST_FACTS = 12  # of one change; the whole list is in the file


@dataclass(frozen=True)
class Change:
    """A change of level. before, after: means of the levels. p: harness.analysis.change_points. facts: name -> (before, after) of what else changed."""

    when: datetime
    run: str
    before: float
    after: float
    p: float
    facts: Mapping[str, tuple[str, str]]

    @property
    def relative(self) -> float | None:
        """The change over the level before; None from a level of 0."""
        return (self.after - self.before) / abs(self.before) if self.before else None

    @property
    def words(self) -> str:
        """What changed with it: `torch 2.12.0 → 2.13.0, driver 550 → 560`."""
        shown = [f"{name} {old} → {new}" for name, (old, new) in list(self.facts.items())[:MOST_FACTS]]
        more = len(self.facts) - len(shown)
        return ", ".join([*shown, *([f"{more} more"] if more else [])]) or "nothing that is recorded"


@dataclass(frozen=True)
class Series:
    """One quantity of one cell, measured again and again in one way on one device; the oldest point first."""

    quantity: str
    points: tuple[Point, ...]
    changes: tuple[Change, ...]
    starts: tuple[int, ...]

    @property
    def name(self) -> str:
        """The cell in words, as it was called last."""
        return self.points[-1].name

    @property
    def values(self) -> list[float]:
        """The numbers, in the unit in which records store them."""
        return [point.value for point in self.points]

    @property
    def levels(self) -> list[tuple[int, int, float]]:
        """Every stretch between changes: index of its first point, of the one behind its last, and the mean."""
        edges = [0, *self.starts, len(self.points)]
        return [(begin, end, mean(self.values[begin:end])) for begin, end in pairwise(edges)]


def add_run(run: Path, file: Path) -> Appended:
    """Adds the records of a run directory that the history file does not have yet; makes the file where there is none.

    Records that do not count in the run's report are not added. Raises NotARun, RequestError for a run without any record, and what
    `harness.records.history.append` raises.
    """
    rows = read_run(run).rows
    if not rows:
        raise RequestError(f"{run} has no record yet: there is nothing to add to {file}")
    return append(file, (_entry(row, run.resolve().name) for row in rows))


def _entry(row: Row, run: str) -> Entry:
    numbers = (
        Number(key, reading.value, reading.stderr, reading.n, reading.protocol)
        for key, reading in row.readings.items()
        if reading.value is not None and isfinite(reading.value)
    )
    return Entry(row.record, run, row.name(), device_name(row.record), tuple(numbers))


def read_series(file: Path, quantity: str, cells: str = "*") -> list[Series]:
    """The series of that quantity whose cell's name or id matches the glob, by name.

    Raises UnknownName for a quantity that the file does not have, RequestError where no cell matches, DataError for the file.
    """
    points = read_points(file, quantity)
    if not points:
        raise UnknownName(f"quantity in {file}", quantity, quantities_in(file))
    chosen = [point for point in points if any(fnmatchcase(text, cells) for text in (point.name, point.name.replace(" / ", "/"), point.cell))]
    if not chosen:
        raise RequestError(f"no cell in {file} that has {quantity} matches {cells!r}; one is {points[-1].name!r}")
    return series_of(chosen, quantity)


def series_of(points: Iterable[Point], quantity: str) -> list[Series]:
    """The points as series, by name: one per cell, device and protocol, because only these compare."""
    groups: dict[tuple[str, str, str | None], list[Point]] = {}
    for point in points:
        groups.setdefault((point.cell, point.device, point.protocol), []).append(point)
    return sorted((_series(group, quantity) for group in groups.values()), key=lambda series: (series.name, series.points[0].device))


def _series(points: Sequence[Point], quantity: str) -> Series:
    ordered = sorted(points, key=lambda point: point.started)
    found = change_points([point.value for point in ordered])
    edges = [0, *(change.at for change in found), len(ordered)]
    changes = []
    for begin, change, end in zip(edges, found, edges[2:], strict=False):
        levels = [mean([point.value for point in side]) for side in (ordered[begin : change.at], ordered[change.at : end])]
        first = ordered[change.at]
        facts = dict(changed_facts(ordered[change.at - 1].facts, first.facts))
        changes.append(Change(first.started, first.run, levels[0], levels[1], change.p, facts))
    return Series(quantity, tuple(ordered), tuple(changes), tuple(change.at for change in found))


def changed_facts(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """What is not the same: (name, (before, after)); `none` for what one side does not have."""
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, ABSENT), after.get(name, ABSENT)
        if old != new:
            yield name, (old, new)
