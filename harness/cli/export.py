"""`harness export`: a run in the form of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export_command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    to: Annotated[str, typer.Option(help="lm-eval, mlflow, wandb-offline or peft-method-comparison.")],
    out: Annotated[Path, typer.Option(help="Where to: a folder; for mlflow the SQLite file.")],
) -> None:
    """Write a run's results as another tool writes its own, and print the paths; what cannot be in them is said."""
    from harness.analysis.run import read_run
    from harness.interop.base import EXPORTS

    export = EXPORTS.get(to)()
    export.require()
    done = export.write(read_run(run), out)
    for path in done.paths:
        print(path)
    for sentence in done.left_out:
        typer.echo(f"left out: {sentence}", err=True)
