"""`harness card`: a section for the model card of a cell's model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def card_command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    cell: Annotated[str, typer.Option("--cell", metavar="ID", help="The cell's id, or its beginning.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file; by default to standard output.")] = None,
) -> None:
    """Write a model card's section with a cell's numbers, and the hub's metadata above it."""
    from harness.analysis.run import read_run
    from harness.records.store import write_atomically
    from harness.report.model_card import model_card, the_cell

    text = model_card(the_cell(read_run(run).rows, cell))
    if out is None:
        print(text)
        return
    write_atomically(out, text)
    print(out)
