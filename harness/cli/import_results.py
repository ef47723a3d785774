"""`harness import`: results of another tool as a reference file, to stand beside one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_command(
    files: Annotated[list[Path], typer.Argument(help="lm-eval's results_*.json, PEFT's method_comparison/*/results/*.json, or folders of them.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The name of the reference, and of its file NAME.yaml.")],
    out: Annotated[Path, typer.Option(help="The folder for it.")] = Path("references"),
    method: Annotated[str | None, typer.Option(help="The method of all results, where the files do not tell (lm-eval with peft=).")] = None,
    scheme: Annotated[str | None, typer.Option(help="The scheme of all results, where the files do not tell.")] = None,
) -> None:
    """Read results of lm-eval or of PEFT's method comparison, and write them as a reference file that a suite can name by its path."""
    from harness.interop.base import Asked
    from harness.interop.reference import import_results

    path, left_out = import_results(files, name, out, Asked(method, scheme))
    print(path)
    for sentence in left_out:
        typer.echo(f"left out: {sentence}", err=True)
    print(f"in a suite: references: [{path}] (relative to the suite's file), and in a table: reference: {name}.results")
