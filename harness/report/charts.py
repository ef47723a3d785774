"""The page's interactive charts, in the JSON that plotly.js draws (https://plotly.com/javascript/reference).

A chart has one or more choices, of which the page shows one: the cost on the x axis, the cell, the configuration.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from harness.analysis.columns import describe
from harness.analysis.curves import learning_curves
from harness.analysis.effects import TIE_MARK
from harness.analysis.groups import group_by
from harness.analysis.lines import LineChart
from harness.analysis.pareto import Panel, Point, front, front_ties, panels
from harness.analysis.ranks import RankMap, rank_maps
from harness.analysis.run import Run
from harness.analysis.tables import headline
from harness.analysis.timelines import memory_timelines
from harness.outside import printable
from harness.quantities import Quantity
from harness.report.figure import COLOURS
from harness.report.plots import Styles, Unit

COSTS = ("memory.peak_vram", "timing.train", "timing.total", "parameters.trainable", "energy.train", "sizes.model_bytes")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "triangle-left", "triangle-right", "pentagon", "hexagon", "star")
UNIT_BASE = 2**30
OUTLINE = "#888888"
PARETO_CAPTION = "Colour: the method (the scheme, where there is one method); shape: the scheme. Line: the front, which nothing beats in both. Outlined: a tie with it."


@dataclass(frozen=True)
class Choice:
    """One view of a chart: what plotly.js gets as `data` and `layout`."""

    label: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """One chart. chosen_by: what its choices are, for the label of the list."""

    id: str
    title: str
    caption: str
    chosen_by: str
    choices: tuple[Choice, ...]

    @property
    def json(self) -> Markup:
        """The choices for a script element: no name in them can end it."""
        text = json.dumps([{"data": choice.data, "layout": choice.layout} for choice in self.choices], allow_nan=False)
        return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def pareto_charts(run: Run) -> list[Chart]:
    """Quality against each cost that was measured, for every model and task."""
    keys = [headline(rows) for rows in group_by(run.rows, ["task"]).values()]
    charts: list[Chart] = []
    for key in dict.fromkeys(key for key in keys if key is not None):
        y = describe(key, run.rows)
        found: dict[tuple[str, str], list[tuple[Quantity, Panel]]] = {}
        for x in (describe(cost) for cost in COSTS):
            for panel in panels(run.rows, x, y, run.order):
                found.setdefault((panel.model, panel.task), []).append((x, panel))
        for (model, task), shown in found.items():
            choices = tuple(Choice(x.label, *_pareto(panel, x, y)) for x, panel in shown)
            title = f"{model}, {task}: {y.label} against cost"
            charts.append(Chart(f"pareto-{len(charts)}", title, PARETO_CAPTION, "cost", choices))
    return charts


def learning_charts(run: Run) -> list[Chart]:
    """The training loss by optimizer step; empty where nothing was tuned."""
    return _of_lines("learning", "Training loss", "model and task", learning_curves(run.rows, run.order, run.path))


def memory_charts(run: Run) -> list[Chart]:
    """Memory over the life of a cell of every configuration; empty where no telemetry is left."""
    return _of_lines("memory", "Memory over time", "cell", memory_timelines(run.rows, run.order, run.path))


def _of_lines(name: str, title: str, chosen_by: str, charts: Sequence[LineChart]) -> list[Chart]:
    choices = tuple(Choice(chart.title.rpartition(": ")[0], *_lines(chart)) for chart in charts)
    return [Chart(name, title, charts[0].caption, chosen_by, choices)] if choices else []


def rank_charts(run: Run) -> list[Chart]:
    """Where ranks went, layer by matrix; empty where no method shared any out."""
    choices = tuple(Choice(shown.name, *_heat(shown)) for shown in rank_maps(run.rows, run.order))
    return [Chart("ranks", "Ranks after training", "Rank that each matrix was left with; layers count from the input.", "configuration", choices)] if choices else []


def _pareto(panel: Panel, x: Quantity, y: Quantity) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    x_unit, y_unit = (Unit.of(of, [sample.mean for sample in values]) for of, values in ((x, [p.x for p in panel.points]), (y, [p.y for p in panel.points])))
    styles = Styles.of(panel.points)
    symbols = {scheme: SYMBOLS[at % len(SYMBOLS)] for at, scheme in enumerate(styles.markers)}
    best, tied = front(panel.points, x, y), {id(point) for point in front_ties(panel.points, x, y)}
    data: list[dict[str, Any]] = [{
        "type": "scatter", "mode": "lines", "name": "front", "hoverinfo": "skip", "line": {"shape": "vh" if x.higher_is_better else "hv", "width": 1, "color": OUTLINE},
        "x": [point.x.mean / x_unit.size for point in best], "y": [point.y.mean / y_unit.size for point in best],
    }]  # fmt: skip
    for name, colour in styles.colours.items():
        of_name = [point for point in panel.points if (point.quantization if styles.by_scheme else point.method) == name]
        data.append({
            "type": "scatter", "mode": "markers", "name": _literal(name), "hovertemplate": "%{text}<extra></extra>",
            "x": [point.x.mean / x_unit.size for point in of_name], "y": [point.y.mean / y_unit.size for point in of_name],
            "text": [_hover(point, x, y, id(point) in tied) for point in of_name],
            "marker": {
                "color": colour, "size": 9, "symbol": [symbols[point.quantization] for point in of_name],
                "line": {"color": OUTLINE, "width": [2 if id(point) in tied else 0 for point in of_name]},
            },
            **({"error_y": _bars([point.y.std for point in of_name], y_unit)} if any(point.y.std for point in of_name) else {}),
        })  # fmt: skip
    logarithmic = x_unit.logarithmic and all(point.x.mean > 0 for point in panel.points)
    layout = {"xaxis": {"title": {"text": _literal(x_unit.label(x))}, "type": "log" if logarithmic else "linear"}, "yaxis": {"title": {"text": _literal(y_unit.label(y))}}}
    return data, layout


def _bars(stds: Sequence[float | None], unit: Unit) -> dict[str, Any]:
    return {"type": "data", "array": [(std or 0.0) / unit.size for std in stds], "thickness": 1, "width": 3}


def _hover(point: Point, x: Quantity, y: Quantity, tied: bool) -> str:
    words = [f"<b>{_literal(point.method)}</b> on {_literal(point.quantization)}", *([_literal(point.further)] if point.further else [])]
    seeds = f" (n={point.y.n})" if point.y.n > 1 else ""
    numbers = [f"{_literal(y.label)}: {y.show(point.y.mean)}{seeds}", f"{_literal(x.label)}: {x.show(point.x.mean)}"]
    return "<br>".join([*words, *numbers, *([f"{TIE_MARK} a tie with the front"] if tied else [])])


def _lines(chart: LineChart) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    in_bytes = chart.y_label == "bytes"
    size, unit = (UNIT_BASE, "GiB") if in_bytes else (1, chart.y_label)
    data = [
        {
            "type": "scatter", "mode": "lines", "name": _literal(line.name), "line": {"color": COLOURS[at % len(COLOURS)], "dash": "solid" if at < len(COLOURS) else "dash"},
            "x": list(line.xs), "y": [round(y / size, 5) for y in line.ys],
        }
        for at, line in enumerate(chart.lines)
    ]  # fmt: skip
    shapes = [
        {"type": "rect", "xref": "x", "yref": "paper", "x0": band.start, "x1": band.end, "y0": 0, "y1": 1, "line": {"width": 0},
         "fillcolor": "#888888", "opacity": 0.18 if at % 2 else 0.08, "layer": "below", "label": {"text": _literal(band.name), "textposition": "top center", "font": {"size": 10}}}
        for at, band in enumerate(chart.bands)
    ]  # fmt: skip
    axes = {"xaxis": {"title": {"text": chart.x_label}}, "yaxis": {"title": {"text": unit}, **({"rangemode": "tozero"} if in_bytes else {})}}
    return data, {**axes, "shapes": shapes, "hovermode": "x unified"}


def _heat(shown: RankMap) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    values = [[shown.ranks.get((layer, matrix)) for matrix in shown.matrices] for layer in shown.layers]
    data = [{
        "type": "heatmap", "x": [_literal(matrix) for matrix in shown.matrices], "y": [_literal(layer) for layer in shown.layers], "z": values, "colorscale": "Blues", "reversescale": False,
        "zmin": 0, "texttemplate": "%{z:.3~g}", "hovertemplate": "layer %{y}, %{x}: rank %{z:.3~g}<extra></extra>", "colorbar": {"title": {"text": "rank"}},
    }]  # fmt: skip
    return data, {"xaxis": {"type": "category"}, "yaxis": {"type": "category", "title": {"text": "layer"}}}


def _literal(text: str) -> str:
    """The text as plotly.js shows it as it is: it reads a few HTML tags in names and labels."""
    return html.escape(printable(text), quote=False)
