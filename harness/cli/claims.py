"""`harness claims`: whether the suite's claims hold in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

COLOURS = {"reproduced": "green", "direction only": "yellow", "not reproduced": "red"}


def claims_command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    noise: Annotated[
        Path | None,
        typer.Option(metavar="FILE_OR_RUN", help="Noise floors of another run of this suite on the same device; by default the run's own noise.json."),
    ] = None,
) -> None:
    """Print the verdict on every claim of the suite; exit code 1 when one is not reproduced."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from harness.analysis.claims import check_claims
    from harness.analysis.run import read_run

    found = read_run(run, noise)
    suite = found.require_suite()
    checked = check_claims(found.rows, suite.claims, found.absent)
    if not checked:
        print(f"the suite {suite.name} makes no claims")
        return
    table = Table(Column("claim", overflow="fold"), Column("verdict", no_wrap=True), "found", "source")
    for claim in checked:
        verdict = Text(claim.verdict, style=COLOURS.get(claim.verdict, ""))
        table.add_row(Text(claim.claim.id), verdict, Text(claim.sentence), Text(claim.claim.source))
    Console().print(table)
    if any(claim.verdict == "not reproduced" for claim in checked):
        raise typer.Exit(1)
