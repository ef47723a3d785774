"""`harness run`: runs a suite, or goes on with it, and writes its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

if TYPE_CHECKING:
    from harness.runs.run import RunSummary

ORDER = ("ok", "oom", "diverged", "unsupported", "failed", "timeout")


def run_command(
    suite: Annotated[str, typer.Argument(help="A suite file, or the name of one in suites/.")],
    profile: Annotated[str | None, typer.Option(help="The profile of the suite to lay over it.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run directory. Default: results/<suite>/<time>, or the newest unfinished run of this suite and profile."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run only the cells whose model/quantization/method/task/seed or id matches this glob; may be repeated."),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where cells run; auto: cuda where it can be used.")] = "auto",
    executor: Annotated[str, typer.Option(help="How cells are executed.")] = "local",
    jobs: Annotated[int, typer.Option(min=1, help="Cells at once; more than one disturb each other's times.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run finished cells again too.")] = False,
    max_failures: Annotated[int | None, typer.Option(min=1, metavar="N", help="Start no further cell once N have failed or taken too long.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which cells would run and why, and which are finished; writes nothing.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Where another process runs in the directory: wait for its end and go on with what it leaves, or refuse.")
    ] = True,
    history: Annotated[Path | None, typer.Option(metavar="FILE", help="Add the finished run to this SQLite file, which harness trend reads.")] = None,
) -> None:
    """Run a suite's cells and write its report; repeated, it goes on where it stopped.

    Finished cells (ok, oom, diverged, unsupported) are not run again; failed ones and those that took too long
    are. Exit code 1 when a cell failed or took too long, when every cell is unsupported, or the run was stopped.
    """
    from harness.cli.dry_run import show
    from harness.cli.progress import display_on
    from harness.runs.dry_run import dry_run as look
    from harness.runs.run import RunOptions, run_suite
    from harness.suite.find import find_suite
    from harness.suite.load import load_suite

    console = Console()
    if history is not None:
        _check_history(history)  # before hours of work, not after
    loaded = load_suite(find_suite(suite), profile)
    options = RunOptions(out=out, only=only or (), device=device, executor=executor, jobs=jobs, fresh=fresh, max_failures=max_failures, wait=wait)
    if dry_run:
        show(console, look(loaded, options))
        return
    with display_on(console) as display:
        summary = run_suite(loaded, options, display)
    _say(console, summary)
    if not summary.interrupted:
        _report(console, summary.run, history)
    raise typer.Exit(summary.exit_code)


def _say(console: Console, summary: RunSummary) -> None:
    counts = ", ".join(f"{summary.statuses[status]} {status}" for status in ORDER if summary.statuses[status])  # type: ignore[index]
    reused = f", {summary.reused} of them finished before" if summary.reused else ""
    _line(console, f"{sum(summary.statuses.values())} of {summary.selected} cells: {counts or 'none ended'}{reused}")
    if summary.nothing_ran:
        _line(console, f"no cell can run here: {summary.run / 'report.md'} has the reason of each")
    if summary.interrupted:
        left = summary.selected - sum(summary.statuses.values())
        _line(console, f"stopped, {left} cells are left; records are kept in {summary.run}: repeat the command to go on")
        _line(console, f"for a report of what there is: harness report {summary.run}")


def _check_history(file: Path) -> None:
    from harness.records.history import check_history

    check_history(file)


def _report(console: Console, run: Path, history: Path | None) -> None:
    from harness.cli.history import added_words
    from harness.report.write import write_report

    if history is not None:
        _line(console, added_words(run, history))
    write_report(run, history=history)
    _line(console, f"report: {run / 'report.md'}")


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
