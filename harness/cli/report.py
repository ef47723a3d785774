"""`harness report`: the report of a run directory, written again and in other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report_command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="FORMAT", help="md, html, csv, json, latex or plots; several times for several. By default md and csv."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write here; by default into the run directory.")] = None,
    noise: Annotated[
        Path | None,
        typer.Option(metavar="FILE_OR_RUN", help="Noise floors of another run of this suite on the same device; by default the run's own noise.json."),
    ] = None,
    history: Annotated[Path | None, typer.Option(metavar="FILE", help="A history file: the report shows how the run's cells went over time.")] = None,
) -> None:
    """Write the report of a run and print the paths of its files."""
    from harness.report.write import DEFAULT_FORMATS, write_report

    for path in write_report(run, formats or DEFAULT_FORMATS, out, noise, history):
        print(path)
