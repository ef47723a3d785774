"""`harness noise`: runs a suite's cells several times with nothing changed, and keeps what they differ by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.analysis.table import Table
    from harness.runs.noise import Repeats


def noise_command(
    suite: Annotated[str, typer.Argument(help="A suite file, or the name of one in suites/.")],
    repeats: Annotated[int, typer.Option(help="How often each cell is run, the first time included: at least 2, better 5.")],
    profile: Annotated[str | None, typer.Option(help="The profile of the suite to lay over it.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Repeat only the cells whose model/quantization/method/task/seed or id matches this glob; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run directory; one that `harness run` has filled counts as the first repeat. Default: results/<suite>/noise/<time>, or the newest unfinished one."),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where cells run; auto: cuda where it can be used.")] = "auto",
) -> None:
    """Measure the noise: run the same cells again and again (A/A), and write how far their numbers lie apart.

    The floors go to noise.json in the run directory, where its report finds them; `harness report OTHER_RUN --noise
    DIR` uses them for another run. Repeated, the command goes on where it stopped. Exit code 1 when a cell failed or took
    too long in any repeat, or it was stopped.
    """
    from rich.console import Console

    from harness.analysis.noise import measure_noise
    from harness.analysis.noise_table import noise_table
    from harness.cli.progress import display_on
    from harness.records.noise import write_noise
    from harness.report.write import write_report
    from harness.runs.noise import run_repeats
    from harness.runs.run import RunOptions
    from harness.suite.find import find_suite
    from harness.suite.load import load_suite

    console = Console()
    loaded = load_suite(find_suite(suite), profile)
    options = RunOptions(out=out, only=only or (), device=device)
    found = run_repeats(loaded, options, repeats, lambda: display_on(console))
    _say(console, found)
    if not found.interrupted:
        noise = measure_noise(found.run)
        path = write_noise(found.run, noise)
        write_report(found.run)
        _show(console, noise_table(noise))
        _line(console, f"floors: {path}")
        _line(console, f"report: {found.run / 'report.md'}")
    raise typer.Exit(found.exit_code)


def _say(console: Console, found: Repeats) -> None:
    for number, summary in enumerate(found.summaries, start=1):
        reused = f", {summary.reused} of them before" if summary.reused else ""
        _line(console, f"repeat {number}: {summary.statuses['ok']} of {summary.selected} cells ok{reused}")
    if found.interrupted:
        _line(console, f"stopped; records are kept in {found.run}: repeat the command to go on")


def _show(console: Console, table: Table) -> None:
    from rich.table import Table as Shown
    from rich.text import Text

    shown = Shown(*table.header, title=Text(table.title))
    for row in table.rows:
        shown.add_row(*(Text(entry.text) for entry in row))
    console.print(shown)
    for note in table.notes:
        _line(console, note)


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
