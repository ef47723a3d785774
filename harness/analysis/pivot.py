"""The cells of one metric brought to the places of a table: rows x columns of axes, records over seeds in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.columns import Row, axis_value, axis_words
from harness.analysis.groups import AxisOrder, group_by, relevant, samples, varying
from harness.analysis.table import MISSING, Column, Entry, name_columns
from harness.quantities import Quantity

Place = tuple[Any, ...]


@dataclass(frozen=True)
class Pivot:
    """The cells of a table, before it is printed. places: (row place, column place) -> the records there."""

    quantity: Quantity
    row_axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    row_places: tuple[Place, ...]
    column_places: tuple[Place, ...]
    places: Mapping[tuple[Place, Place], Sequence[Row]]

    def at(self, row: Place, column: Place) -> Sequence[Row]:
        """The records at that place, none where none was run."""
        return self.places.get((row, column), ())


def pivot(rows: Sequence[Row], row_axes: Sequence[str], column_axes: Sequence[str], quantity: Quantity, order: AxisOrder) -> Pivot:
    """Brings the rows to their places.

    A mean is taken over seeds only: an axis that varies within a place and is named by neither rows nor
    columns becomes one more row axis (the model in front, others behind). Tasks that ran and do not have the
    metric are left out.
    """
    rows = relevant(rows, quantity)
    added = varying(rows, [*row_axes, *column_axes])
    row_axes = [axis for axis in added if axis == "model"] + [*row_axes] + [axis for axis in added if axis != "model"]
    rows = order.sort(rows, [*row_axes, *column_axes, "seed"])
    split = len(row_axes)
    groups = {(key[:split], key[split:]): found for key, found in group_by(rows, [*row_axes, *column_axes]).items()}
    columns = group_by(order.sort(rows, column_axes), column_axes)
    row_places = tuple(dict.fromkeys(row for row, _ in groups))
    return Pivot(quantity, tuple(row_axes), tuple(column_axes), row_places, tuple(columns), groups)


def name_entries(axes: Sequence[str], where: Place) -> tuple[Entry, ...]:
    """The entries that name a row."""
    return tuple(Entry(MISSING if value is None else axis_value(value)) for _, value in zip(axes, where, strict=True))


def axis_columns(axes: Sequence[str]) -> tuple[Column, ...]:
    """The columns that name a row."""
    return name_columns([axis.rpartition(".")[2] for axis in axes])


def column_label(axes: Sequence[str], where: Place, quantity: Quantity) -> str:
    """What stands over a column: its place, or the quantity where no axis makes columns."""
    return " / ".join(axis_words(axis, value) for axis, value in zip(axes, where, strict=True)) or quantity.label


def protocols_of(table: Pivot, column: Place) -> list[str | None]:
    """The protocols of a column's numbers, sorted."""
    present = {protocol for row in table.row_places for protocol in samples(table.at(row, column), table.quantity)}
    return sorted(present, key=lambda protocol: protocol or "")
