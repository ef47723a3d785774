"""Pareto plots: one figure per plot and model, one panel per task."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.analysis.groups import group_by
from harness.analysis.pareto import Panel, Point, front, front_ties, panels, pareto_quantities
from harness.analysis.run import Run
from harness.analysis.tables import headline, slug
from harness.quantities import Quantity
from harness.report.figure import COLOURS, Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = {"o": 6.5, "s": 6.0, "^": 7.5, "D": 5.5, "v": 7.5, "P": 7.5, "X": 7.5, "<": 7.5, ">": 7.5, "p": 7.5, "h": 7.5, "*": 10.0}  # sizes that look alike
BINARY = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
LOG_DECADES = 1.5
PANELS_PER_FIGURE = 9
MOST_DRAWN_AS_SHAPES = 100  # points of a panel; more become an image inside the SVG: thousands of shapes take seconds to draw and to open
PANEL = (3.7, 3.2)  # inches
DARK = "#333333"
DEFAULT_X = "memory.peak_vram"


def pareto_figures(run: Run) -> list[Figure]:
    """All plots of the suite's report section, or quality against peak memory by default; none without such numbers."""
    found: list[Figure] = []
    for x_key, y_key, title in _plots(run):
        x, y = pareto_quantities(run.rows, x_key, y_key)
        by_model: dict[str, list[Panel]] = {}
        for panel in panels(run.rows, x, y, run.order):
            by_model.setdefault(panel.model, []).append(panel)
        for model, of_model in by_model.items():
            for start in range(0, len(of_model), PANELS_PER_FIGURE):
                part = of_model[start : start + PANELS_PER_FIGURE]
                found.append(_figure(model, part, x, y, title, start // PANELS_PER_FIGURE))
    return found


def _plots(run: Run) -> list[tuple[str, str, str | None]]:
    """(x, y, title) of every plot; by default one per headline metric of the tasks."""
    if run.suite and run.suite.report.plots:
        return [(plot.x, plot.y, plot.title) for plot in run.suite.report.plots]
    keys = [headline(rows) for rows in group_by(run.rows, ["task"]).values()]
    return [(DEFAULT_X, key, None) for key in dict.fromkeys(keys) if key is not None]


def _figure(model: str, shown: Sequence[Panel], x: Quantity, y: Quantity, title: str | None, page: int) -> Figure:
    name = slug(f"pareto-{y.key}-by-{x.key}-{model}") + (f"-{page + 1}" if page else "")
    ways = "; ".join(dict.fromkeys(panel.x_way for panel in shown if panel.x_way))
    caption = f"{x.label.capitalize()}: {ways}. " if ways else ""
    caption += "Line: the front, which nothing beats in both."
    tied = {id(point) for panel in shown for point in front_ties(panel.points, x, y)}
    caption += " Dark outline: beaten by the front by no more than the noise, a tie." if tied else ""
    repeated = any(point.y.n > 1 for panel in shown for point in panel.points)
    caption += " Bars: sample standard deviation over seeds." if repeated else ""
    return Figure(name, title or f"{model}: {y.label} against {x.label}", caption, partial(_draw, shown, x, y, tied))


def _draw(shown: Sequence[Panel], x: Quantity, y: Quantity, tied: Collection[int]) -> Any:
    from matplotlib.figure import Figure as Canvas

    styles = Styles.of([point for panel in shown for point in panel.points])
    across = min(3, len(shown))
    down = math.ceil(len(shown) / across)
    legend = 0.8 + 0.08 * max(map(len, [*styles.colours, *styles.markers]))
    width, height = PANEL[0] * across + legend, max(PANEL[1] * down, 0.3 + 0.2 * len(styles.legend()))
    canvas = Canvas(figsize=(width, height), facecolor="white")
    # by hand: matplotlib's layout engines draw everything twice more, which takes seconds for thousands of points
    canvas.subplots_adjust(0.65 / width, 0.5 / height, 1 - legend / width, 1 - 0.35 / height, wspace=0.3, hspace=0.42)
    for at, panel in enumerate(shown, start=1):
        _panel(canvas.add_subplot(down, across, at), panel, x, y, styles, tied)
    canvas.legend(
        handles=styles.legend(), loc="upper left", bbox_to_anchor=(1 - (legend - 0.05) / width, 1 - 0.2 / height), frameon=False
    )
    return canvas


@dataclass(frozen=True)
class Styles:
    """Colour by method, marker by scheme; of one method alone, both by scheme. Swept values share the style of their method and scheme."""

    colours: Mapping[str, str]
    markers: Mapping[str, str]
    by_scheme: bool

    def colour(self, point: Point) -> str:
        """The point's."""
        return self.colours[point.quantization if self.by_scheme else point.method]

    @classmethod
    def of(cls, points: Sequence[Point]) -> Styles:
        """A style for every method and scheme, in order of appearance; more than the palette has are spread over a spectrum."""
        methods = dict.fromkeys(point.method for point in points)
        schemes = dict.fromkeys(point.quantization for point in points)
        by_scheme = len(methods) == 1
        coloured = schemes if by_scheme else methods
        return cls(
            dict(zip(coloured, COLOURS if len(coloured) <= len(COLOURS) else _spectrum(len(coloured), neighbours_apart=not by_scheme), strict=False)),
            {scheme: list(MARKERS)[at % len(MARKERS)] for at, scheme in enumerate(schemes)},
            by_scheme,
        )

    def legend(self) -> list[Any]:
        """One line per method and per scheme, and the front."""
        from matplotlib.lines import Line2D

        def handle(label: str, **style: Any) -> Line2D:
            return Line2D([], [], linestyle="none", label=label, **style)

        methods = [] if self.by_scheme else [handle("Method"), *(handle(name, marker="o", color=colour) for name, colour in self.colours.items())]
        schemes = [
            handle(
                scheme, marker=marker, markersize=MARKERS[marker],
                markerfacecolor=self.colours[scheme] if self.by_scheme else "white", markeredgecolor="white" if self.by_scheme else DARK,
            )
            for scheme, marker in self.markers.items()
        ]  # fmt: skip
        front_line = Line2D([], [], color=DARK, linewidth=1, label="front")
        return [*methods, handle("Scheme"), *schemes, front_line]


def _tick(value: float, at: float = 0.0) -> str:
    """100, 10k, 1M: matplotlib's own would be formulas, and a label may hold a dollar."""
    size, unit = next(((size, unit) for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(value) >= size), (1.0, ""))
    return f"{value / size:g}{unit}"


def _spectrum(count: int, neighbours_apart: bool) -> list[str]:
    """That many colours, neighbours in the legend far apart, or those that share a marker."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    spread = [to_hex(colormaps["turbo"](0.04 + 0.92 * at / (count - 1))) for at in range(count)]
    return spread[::3] + spread[1::3] + spread[2::3] if neighbours_apart else spread


def _panel(axes: Axes, panel: Panel, x: Quantity, y: Quantity, styles: Styles, tied: Collection[int]) -> None:
    """tied: the id() of every point that ties with the front."""
    x_unit = Unit.of(x, [point.x.mean for point in panel.points])
    y_unit = Unit.of(y, [point.y.mean for point in panel.points])
    best = front(panel.points, x, y)
    axes.plot(
        [point.x.mean / x_unit.size for point in best], [point.y.mean / y_unit.size for point in best],
        color=DARK, linewidth=1, zorder=1, drawstyle="steps-pre" if x.higher_is_better else "steps-post",
    )  # fmt: skip
    xs = [point.x.mean / x_unit.size for point in panel.points]
    ys = [point.y.mean / y_unit.size for point in panel.points]
    colours = [styles.colour(point) for point in panel.points]
    many = len(panel.points) > MOST_DRAWN_AS_SHAPES
    axes.errorbar(
        xs, ys, rasterized=many, xerr=[_bar(point.x.std, x_unit) for point in panel.points], yerr=[_bar(point.y.std, y_unit) for point in panel.points],
        fmt="none", ecolor=colours, elinewidth=0.8, zorder=2,
    )  # fmt: skip
    for scheme, marker in styles.markers.items():  # one call per marker: a call per point takes seconds for thousands
        at = [index for index, point in enumerate(panel.points) if point.quantization == scheme]
        axes.scatter(
            [xs[index] for index in at], [ys[index] for index in at], c=[colours[index] for index in at],
            marker=marker, s=MARKERS[marker] ** 2, edgecolors=[DARK if id(panel.points[index]) in tied else "white" for index in at], linewidths=0.6, zorder=3, rasterized=many,
        )  # fmt: skip
    axes.set_title(panel.task)
    axes.set_xlabel(x_unit.label(x))
    axes.set_ylabel(y_unit.label(y))
    if x_unit.logarithmic:
        axes.set_xscale("symlog", linthresh=x_unit.least)  # zero, of methods that train nothing, has a place
        axes.xaxis.set_major_formatter(_tick)
    else:
        axes.locator_params(axis="x", nbins=6)
    if y_unit.logarithmic:
        axes.set_yscale("symlog", linthresh=y_unit.least)
        axes.yaxis.set_major_formatter(_tick)
    else:
        axes.locator_params(axis="y", nbins=6)


def _bar(std: float | None, unit: Unit) -> float:
    return 0.0 if std is None else std / unit.size


@dataclass(frozen=True)
class Unit:
    """The unit of an axis: how much of the stored unit one mark is, and whether the axis is logarithmic.

    least: the least positive value, in marks.
    """

    size: float
    name: str | None
    logarithmic: bool
    least: float = 1.0

    @classmethod
    def of(cls, quantity: Quantity, values: Sequence[float]) -> Unit:
        """The unit that makes the largest value readable; logarithmic when the values span more than 1.5 decades."""
        largest, least = max(values), min((value for value in values if value > 0), default=0.0)
        logarithmic = least > 0 and min(values) >= 0 and math.log10(largest / least) > LOG_DECADES
        if quantity.style == "bytes":
            size, prefix = next(((size, name) for size, name in BINARY if largest >= size), (1, "B"))
            return cls(float(size), prefix, logarithmic, least / size)
        name = "×100" if quantity.style == "share" else quantity.unit
        return cls(1 / quantity.points, name, logarithmic, least * quantity.points)

    def label(self, quantity: Quantity) -> str:
        """The axis label with the unit."""
        return f"{quantity.label} [{self.name}]" if self.name else quantity.label

