"""`harness history add`: adds a finished run to a history file, which `harness trend` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

history_app = typer.Typer(help="The numbers of many runs in one SQLite file.", no_args_is_help=True)


@history_app.callback()
def _history() -> None:
    """The numbers of many runs in one SQLite file."""


@history_app.command("add")
def add_command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    file: Annotated[Path, typer.Argument(help="The history file; made where there is none.")],
) -> None:
    """Add the records of a run that the file does not have yet: adding a run twice changes nothing."""
    print(added_words(run, file))


def added_words(run: Path, file: Path) -> str:
    """Adds the run, and says in words what became of it."""
    from harness.analysis.over_time import add_run

    done = add_run(run, file)
    known = f", {done.known} {'was' if done.known == 1 else 'were'} there already" if done.known else ""
    return f"history: {done.added} record{'' if done.added == 1 else 's'} added to {file}{known}"
