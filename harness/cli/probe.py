"""`harness probe`: tries every method on every scheme and family, and writes the compatibility map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def probe_command(
    suite: Annotated[str, typer.Argument(help="A suite with measure: {probe: true}, or the name of one in suites/.")] = "compatibility",
    profile: Annotated[str | None, typer.Option(help="The profile of the suite to lay over it.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory; see harness run.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Try only the cells whose model/quantization/method/task/seed or id matches this glob; may be repeated."),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where cells run; auto: cuda where it can be used.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Cells at once.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Try finished cells again too.")] = False,
    docs: Annotated[
        Path | None,
        typer.Option(help="Publish the whole map: the page into this folder, the data into the package, where plans read it."),
    ] = None,
) -> None:
    """Try every method on every scheme and family: does it train, turn off, reload, generate, merge?

    Repeated, it goes on where it stopped. The map, compatibility.md and compatibility.json, is written into the run
    directory. What breaks is a finding: exit code 1 only when the run was stopped.
    """
    from rich.console import Console

    from harness.analysis.compatibility import compatibility_map, verdict_counts
    from harness.analysis.run import read_run
    from harness.cli.progress import display_on
    from harness.errors import RequestError
    from harness.report.compatibility import DATA, PAGE, write_map
    from harness.runs.run import RunOptions, run_suite
    from harness.suite.compatibility import MAP
    from harness.suite.find import find_suite
    from harness.suite.load import load_suite

    loaded = load_suite(find_suite(suite), profile)
    if not loaded.measure.probe:
        raise RequestError(f"{loaded.file} is no probe: it needs measure: {{probe: true}}")
    if docs is not None and (profile or only):
        raise RequestError("--docs publishes the map of the whole suite: leave --profile and --only out")
    console = Console()
    with display_on(console) as display:
        options = RunOptions(out=out, only=only or (), device=device, jobs=jobs, fresh=fresh)
        summary = run_suite(loaded, options, display)
    if summary.interrupted:
        print(f"stopped; records are kept in {summary.run}: repeat the command to go on")
        raise typer.Exit(summary.exit_code)
    run = read_run(summary.run)
    found = compatibility_map(run)
    places = [(summary.run / PAGE, summary.run / DATA)] + ([(docs / PAGE, MAP)] if docs is not None else [])
    for page, data in places:
        write_map(found, run, page, data)
        print(page)
    print(", ".join(f"{count} {verdict}" for verdict, count in verdict_counts(found).items()))
