"""Which axes a table of configurations shows: those on which the cells differ; what all share is said once."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.columns import Row, axis_words
from harness.analysis.groups import axes_of


def shown_axes(rows: Sequence[Row], without: Sequence[str] = ("seed",)) -> list[str]:
    """The axes on which rows differ, but those of `without`; the method where they differ on none."""
    axes = [axis for axis in axes_of(rows) if axis not in without]
    return [axis for axis in axes if len({repr(row.axes.get(axis)) for row in rows}) > 1] or ["method"]


def shared_note(rows: Sequence[Row], shown: Sequence[str], without: Sequence[str] = ("seed",)) -> list[str]:
    """A sentence that names what all rows share, none where they share nothing."""
    shared = [axis for axis in axes_of(rows) if axis not in (*without, *shown)]
    words = [f"{axis} {axis_words(axis, rows[0].axes[axis])}" for axis in shared if rows and axis in rows[0].axes]
    return [f"All rows: {', '.join(words)}."] if words else []
