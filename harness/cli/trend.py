"""`harness trend`: how one number of every cell went over the runs of a history file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def trend_command(
    file: Annotated[Path, typer.Argument(help="A history file, as --history of harness run makes it.")],
    metric: Annotated[str, typer.Option(help="A metric (accuracy) or a quantity (memory.peak_vram).")],
    cell: Annotated[str, typer.Option(help="Only cells whose model/quantization/method/task/seed or id matches this glob.")] = "*",
    out: Annotated[Path | None, typer.Option(help="Write into this folder instead of printing; svg needs it.")] = None,
    form: Annotated[Literal["md", "json", "svg"], typer.Option("--format", help="md, json, or one svg plot per cell.")] = "md",
) -> None:
    """Show how a metric went over time, cell by cell, where its level changed, and which versions changed with it."""
    from harness.analysis.over_time import read_series
    from harness.errors import RequestError
    from harness.report.trend import trend_json, trend_markdown, write_trend

    if form == "svg" and out is None:
        raise RequestError("svg is one file per cell: say into which folder with --out DIR")
    found = read_series(file, metric, cell)
    if out is None:
        print(trend_json(found, metric) if form == "json" else trend_markdown(found, metric), end="")
        return
    for path in write_trend(found, metric, form, out):
        print(path)
