"""What `harness trend` prints: the course of one quantity as Markdown, JSON or SVG."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.analysis.columns import described
from harness.analysis.over_time import Series
from harness.analysis.over_time_tables import change_table, trend_table
from harness.analysis.tables import slug
from harness.quantities import Quantity
from harness.records.store import write_atomically
from harness.report.figure import COLOURS, Figure
from harness.report.markdown import markdown_table

SIZE = (7.2, 3.4)  # inches
GIB = 2**30
LINE_OF_WORDS = 34  # characters


def trend_markdown(found: Sequence[Series], quantity: str) -> str:
    """The table of all series, and that of their changes of level."""
    tables = [trend_table(found, described(quantity)), change_table(found, described(quantity))]
    return "\n\n".join(f"## {table.title}\n\n{markdown_table(table)}" for table in tables if table is not None) + "\n"


def trend_json(found: Sequence[Series], quantity: str) -> str:
    """Every series with its points and changes; values in the unit that records store."""
    series = [
        {
            "cell": each.points[-1].cell, "name": each.name, "device": each.points[0].device, "protocol": each.points[0].protocol,
            "points": [
                {"run": point.run, "started": point.started.isoformat(), "value": point.value, "stderr": point.stderr, "n": point.n, "facts": dict(point.facts)}
                for point in each.points
            ],
            "changes": [
                {
                    "since": change.when.isoformat(), "run": change.run, "before": change.before, "after": change.after, "p": change.p,
                    "changed": {name: {"before": old, "after": new} for name, (old, new) in change.facts.items()},
                }
                for change in each.changes
            ],
        }
        for each in found
    ]  # fmt: skip
    described_as = described(quantity)
    heading = {"quantity": quantity, "unit": described_as.unit, "higher_is_better": described_as.higher_is_better}
    return json.dumps({**heading, "series": series}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_trend(found: Sequence[Series], quantity: str, form: str, out: Path) -> list[Path]:
    """Writes trend.md, trend.json, or one SVG file per series into a folder, and returns the paths; raises StorageError."""
    if form == "svg":
        figures = [trend_figure(each, described(quantity)) for each in found]
        written = {out / f"{at:02}-{figure.name}.svg": figure.svg for at, figure in enumerate(figures, 1)}
    elif form == "json":
        written = {out / "trend.json": trend_json(found, quantity)}
    else:
        written = {out / "trend.md": trend_markdown(found, quantity)}
    for path, text in written.items():
        write_atomically(path, text)
    return list(written)


def trend_figure(series: Series, quantity: Quantity) -> Figure:
    """One series as a plot: every measurement, the mean of every level, and at each change what changed with it."""
    return Figure(slug(f"{quantity.key}-{series.name}"), f"{series.name}: {quantity.label}", "Dots: runs. Lines: means of levels.", partial(_draw, series, quantity))


def _draw(series: Series, quantity: Quantity) -> Any:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=SIZE, facecolor="white", layout="constrained")
    axes = canvas.add_subplot()
    scale, unit = (1 / GIB, "GiB") if quantity.unit == "bytes" else (quantity.points, quantity.unit)
    when = [float(date2num(point.started)) for point in series.points]
    axes.plot(when, [value * scale for value in series.values], "o-", color=COLOURS[0], markersize=3, linewidth=0.6)
    for begin, end, level in series.levels:
        axes.plot([when[begin], when[end - 1]], [level * scale] * 2, color=COLOURS[1], linewidth=2)
    for change in series.changes:
        axes.axvline(date2num(change.when), color="#7F7F7F", linestyle="--", linewidth=0.8)
        words = "\n".join(textwrap.wrap(change.words, LINE_OF_WORDS))
        axes.annotate(words, (date2num(change.when), 0.02), xycoords=("data", "axes fraction"), xytext=(3, 0), textcoords="offset points", fontsize=6, va="bottom")
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_ylabel(quantity.label + (f" ({unit})" if unit else ""))
    axes.set_title(f"{series.name}\n{series.points[0].device}", fontsize=8)
    return canvas
