"""Rows brought together: in the author's order, by their place on the axes, and into samples over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.analysis.columns import AXES, Reading, Row, axis_id
from harness.analysis.statistics import Sample
from harness.quantities import Quantity


class AxisOrder:
    """The order of the ids on every axis: as the suite lists them; unknown ones after, by value, `none` first."""

    def __init__(self, positions: Mapping[str, Sequence[Any]] | None = None) -> None:
        self._positions = {
            axis: {axis_id(value): at for at, value in enumerate(values)} for axis, values in (positions or {}).items()
        }

    def rank(self, axis: str, value: Any) -> tuple[int, float, str]:
        """A key to sort by."""
        known = self._positions.get(axis, {})
        at = known.get(axis_id(value))
        if at is not None:
            return at, 0.0, ""
        number = float(value) if isinstance(value, int | float) else 0.0
        return len(known), number, "" if value == "none" else str(value)

    def sort(self, rows: Iterable[Row], axes: Sequence[str]) -> list[Row]:
        """The rows by those axes, in order; rows that are equal on them keep their order."""
        rows = list(rows)
        # ranked once per id and not once per row: there are thousands of rows and a handful of ids
        ranked = [self._ranks(axis, [row.axes.get(axis) for row in rows]) for axis in axes]
        places = list(zip(*ranked, strict=True)) or [()] * len(rows)
        return [rows[at] for at in sorted(range(len(rows)), key=places.__getitem__)]

    def _ranks(self, axis: str, ids: Sequence[Any]) -> list[int]:
        """The place of each among them, in order; equal ranks share one."""
        rank = {id_: self.rank(axis, id_) for id_ in set(ids)}
        at = {found: at for at, found in enumerate(sorted(set(rank.values())))}
        return [at[rank[id_]] for id_ in ids]


def axes_of(rows: Iterable[Row]) -> list[str]:
    """Every axis that the rows have: the fixed ones, then the swept fields."""
    swept: dict[str, None] = {}
    for row in rows:
        if len(row.axes) > len(AXES):
            swept |= dict.fromkeys(axis for axis in row.axes if axis not in AXES)
    return [*AXES, *swept]


def place(row: Row, axes: Sequence[str]) -> tuple[Any, ...]:
    """The row's ids on those axes; None on an axis that it does not have."""
    return tuple(map(row.axes.get, axes))


def group_by(rows: Iterable[Row], axes: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """place -> its rows, places in order of first appearance."""
    groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[place(row, axes)].append(row)
    return dict(groups)


def varying(rows: Sequence[Row], within: Sequence[str]) -> list[str]:
    """The axes but seed on which rows differ that agree on `within`: a mean over those would mix unlike things."""
    others = [axis for axis in axes_of(rows) if axis not in within and axis != "seed"]
    groups = group_by(rows, within).values()
    return [axis for axis in others if any(len({row.axes.get(axis) for row in group}) > 1 for group in groups)]


def relevant(rows: Sequence[Row], quantity: Quantity) -> list[Row]:
    """The rows without those of tasks that ran and do not have the number (perplexity, for a classification)."""
    ran = {row.axes["task"] for row in rows if row.ok}
    having = {row.axes["task"] for row in rows if _has(row, quantity)}
    return [row for row in rows if row.axes["task"] in having or row.axes["task"] not in ran]


def samples(rows: Iterable[Row], quantity: Quantity) -> dict[str | None, Sample]:
    """protocol -> the sample over the cells that went through and have the number; one protocol each, never mixed.

    The quality of random weights is no quality: such cells are left out.
    """
    readings: dict[str | None, list[Reading]] = defaultdict(list)
    for row in rows:
        reading = row.reading(quantity.key)
        if reading is None or reading.value is None or not row.ok or (quantity.quality and row.random_weights):
            continue
        readings[reading.protocol].append(reading)
    return {protocol: sample_of(found, quantity) for protocol, found in readings.items()}


def sample_of(readings: Iterable[Reading], quantity: Quantity) -> Sample:
    """Readings made in one way as repetitions of one measurement; those without a value are left out."""
    found = [(reading.value, reading.stderr, reading.items, reading.repeated) for reading in readings if reading.value is not None]
    values, stderrs, items, repeated = zip(*found, strict=True) if found else ((), (), (), ())
    return Sample(values, stderrs, quantity.exact, items, repeated, quantity.quality)


def one_sample(rows: Iterable[Row], quantity: Quantity) -> Sample | None:
    """The sample over seeds where all were measured one way; None where there are none, or several ways."""
    found = list(samples(rows, quantity).values())
    return found[0] if len(found) == 1 else None


def _has(row: Row, quantity: Quantity) -> bool:
    """Whether the number was taken at all; a cell that died after the evaluation before training counts too."""
    return quantity.key in row.readings or f"{quantity.key}:before" in row.readings

