"""Charts of lines (learning curves, memory over time) as figures."""

from __future__ import annotations

from functools import partial
from typing import Any

from harness.analysis.lines import LineChart
from harness.report.figure import COLOURS, Figure

SIZE = (6.4, 3.2)  # inches
GIB = 2**30
NARROW = 0.05  # share of the axis below which a band is not named


def line_figure(chart: LineChart) -> Figure:
    """The chart as a figure."""
    return Figure(chart.name, chart.title, chart.caption, partial(_draw, chart))


def _draw(chart: LineChart) -> Any:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=SIZE, facecolor="white", layout="constrained")
    axes = canvas.add_subplot()
    for at, band in enumerate(chart.bands):
        axes.axvspan(band.start, band.end, color="#7F7F7F", alpha=0.16 if at % 2 else 0.07, linewidth=0)
        if band.end - band.start > NARROW * (chart.bands[-1].end - chart.bands[0].start):  # a name would run into its neighbours'
            axes.text((band.start + band.end) / 2, 1.01, band.name, transform=axes.get_xaxis_transform(), ha="center", fontsize=7)
    size, unit = (GIB, "GiB") if chart.y_label == "bytes" else (1, chart.y_label)
    for at, line in enumerate(chart.lines):
        axes.plot(line.xs, [y / size for y in line.ys], label=line.name, color=COLOURS[at % len(COLOURS)], linewidth=1.2, linestyle="-" if at < len(COLOURS) else "--")
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(unit)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return canvas
