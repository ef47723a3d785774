"""`harness baseline`: runs promoted to baselines, and what baselines there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.analysis.table import Table

baseline_app = typer.Typer(help="Baselines: runs that later runs are compared with, kept as text in results/reference/.", no_args_is_help=True)


@baseline_app.command("save")
def save_command(
    run: Annotated[Path, typer.Argument(help="A finished run directory; one of `harness noise` brings its noise floors.")],
    name: Annotated[str, typer.Argument(help="What the baseline is called.")],
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the baseline of that name for this device.")] = False,
) -> None:
    """Make a run the baseline of that name for the device it was measured on."""
    from harness.analysis.gate.saving import save
    from harness.records.baseline import who

    kept = save(run, name, who(), replace)
    print(f"{kept.path}: {kept.cells} cells")
    if kept.without_noise:
        print("without noise floors: single costs can only be undecided; save a run of harness noise to have them")


@baseline_app.command("list")
def list_command() -> None:
    """List all baselines of all devices, with who saved them and when."""
    from harness.analysis.gate.saving import baselines_table

    _show(baselines_table())


@baseline_app.command("show")
def show_command(name: Annotated[str, typer.Argument(help="Name of a baseline.")]) -> None:
    """Show the cells of a baseline."""
    from harness.analysis.gate.saving import baseline_tables

    for table in baseline_tables(name):
        _show(table)


def _show(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as Shown
    from rich.text import Text

    console = Console()
    shown = Shown(*table.header, title=Text(table.title))
    for row in table.rows:
        shown.add_row(*(Text(entry.text) for entry in row))
    console.print(shown)
    for note in table.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
