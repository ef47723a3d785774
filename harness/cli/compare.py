"""`harness compare` and `harness bisect-env`: whether a run is worse than a baseline, and what to run to find out why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BASELINE = Annotated[str, typer.Argument(help="A run directory, the name of a saved baseline (harness baseline list), or a baseline's file.")]
RUN = Annotated[Path, typer.Argument(help="The run directory to judge.")]
GATE = Annotated[Path | None, typer.Option(metavar="FILE", help="A YAML file with the keys of a suite's `gate:`, laid over the suite's own.")]
ALLOW = Annotated[
    list[str] | None,
    typer.Option("--allow-different", metavar="WHAT", help="Go on although this differs: device, protocol, definition or unfinished; may be repeated."),
]


def compare_command(
    baseline: BASELINE,
    run: RUN,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="md (one screen), json, junit or github (annotations).")] = "md",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there instead of to the terminal.")] = None,
    gate: GATE = None,
    allow_different: ALLOW = None,
) -> None:
    """Judge a run against a baseline: what is worse by more than its tolerance and the noise, and why.

    Exit code 0: nothing is worse; 1: a regression; 2: not comparable (another device, protocol or cell definition, an unfinished
    run), or a bad request. Gate, tolerances and noise: docs/gate.md.
    """
    from harness.analysis.gate.compare import compare_paths
    from harness.records.store import write_atomically
    from harness.report.gate.formats import form_of

    text_of = form_of(form)  # first: a wrong name is said before anything is read
    found = compare_paths(baseline, run, gate, allow_different or ())
    text = text_of(found)
    if out is not None:
        write_atomically(out, text)
    else:
        print(text, end="")
    raise typer.Exit(found.exit_code)


def bisect_command(
    baseline: BASELINE,
    run: RUN,
    gate: GATE = None,
    allow_different: ALLOW = None,
    folder: Annotated[str, typer.Option(help="Where the commands make their virtual environments and runs.")] = "bisect",
) -> None:
    """Print the commands that run one regressed configuration again, one changed package at a time moved back; nothing is run.

    The last command of each block compares with the baseline: exit code 0 there means that this package did it, if the control before them ends with 1.
    """
    from harness.analysis.gate.bisect import Asked, bisection, this_environment
    from harness.analysis.gate.compare import compare_paths
    from harness.measure.environment import package_versions

    allowed = tuple(allow_different or ())
    asked = Asked(baseline, str(run / "suite.yaml"), str(gate) if gate else None, allowed, folder)
    found = bisection(compare_paths(baseline, run, gate, allowed), asked, this_environment(), package_versions())
    for caution in found.cautions:
        print(f"# caution: {caution}")
    cells = ", ".join(f"{cell.name()} ({cell.record.cell.id})" for cell in found.cells)
    print(f"# {cells} again: first as it is, which must end with exit code 1")
    print("\n".join(found.control))
    for trial in found.trials:
        print(f"\n# {trial.package} moved back: exit code 0 at the end means that it did it")
        print("\n".join(trial.commands))
    if found.other:
        print(f"\n# not moved back by pip: {'; '.join(found.other)}")
