"""Charts of lines: what they show, whatever draws them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One line. name: its entry in the legend."""

    name: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]


@dataclass(frozen=True)
class Band:
    """A stretch of the x axis with a name."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class LineChart:
    """Lines over one x axis. name: its file name without ending. caption: what the reader must know, in sentences."""

    name: str
    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    caption: str
    bands: tuple[Band, ...] = ()
