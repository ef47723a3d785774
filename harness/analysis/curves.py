"""How training went: the loss by optimizer step, from the training.jsonl that every tuned cell leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.analysis.columns import AXES, Row, axis_words
from harness.analysis.groups import AxisOrder, axes_of, group_by
from harness.analysis.lines import Line, LineChart
from harness.analysis.tables import slug

MOST_CURVES = 12
MOST_CHARTS = 24


def learning_curves(rows: Sequence[Row], order: AxisOrder, run: Path) -> list[LineChart]:
    """A chart for every model and task of which cells left losses: a line per configuration, of its first seed.

    More lines than a person can tell apart are cut, and the caption says how many. The loss of random weights is no quality, and not drawn.
    """
    tuned = [row for row in order.sort(rows, axes_of(rows)) if row.record.training is not None and not row.random_weights]
    charts: list[LineChart] = []
    for (model, task), group in group_by(tuned, ["model", "task"]).items():
        if len(charts) == MOST_CHARTS:
            break
        lines, left_out = _lines(group, run)
        if lines:
            caption = "Mean training loss of every logging interval; one seed per configuration."
            caption += f" {left_out} more configurations are not drawn." if left_out else ""
            name = slug(f"learning-{model}-{task}")
            charts.append(LineChart(name, f"{model}, {task}: training loss", "optimizer step", "loss", tuple(lines), caption))
    return charts


def _lines(rows: Sequence[Row], run: Path) -> tuple[list[Line], int]:
    """The lines of one chart, and how many configurations it leaves out."""
    swept = [axis for axis in axes_of(rows) if axis not in AXES]
    lines: list[Line] = []
    left_out = 0
    for place, group in group_by(rows, ["method", "quantization", *swept]).items():
        if len(lines) >= MOST_CURVES:
            left_out += 1
            continue
        losses = list(_losses(run / "cells" / group[0].record.cell.id / "training.jsonl"))
        if losses:
            words = [axis_words(axis, value) for axis, value in zip(["method", "quantization", *swept], place, strict=True) if value is not None]
            lines.append(Line(" / ".join(words), tuple(step for step, _ in losses), tuple(loss for _, loss in losses)))
    return lines, left_out


def _losses(path: Path) -> Iterator[tuple[float, float]]:
    """(step, loss) of every logging interval; nothing where the file is absent. A line that a killed cell left half is passed over."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        step, loss = (entry.get("step"), entry.get("loss")) if isinstance(entry, dict) else (None, None)
        if isinstance(step, int) and isinstance(loss, int | float) and math.isfinite(loss):
            yield float(step), float(loss)
