"""`harness`: the commands, and how an error becomes one clear message and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from harness import __version__
from harness.cli.baseline import baseline_app
from harness.cli.cache import cache_app
from harness.cli.card import card_command
from harness.cli.claims import claims_command
from harness.cli.compare import bisect_command, compare_command
from harness.cli.doctor import doctor_command
from harness.cli.export import export_command
from harness.cli.history import history_app
from harness.cli.import_results import import_command
from harness.cli.init import init_command
from harness.cli.list import list_command
from harness.cli.noise import noise_command
from harness.cli.plan import plan_command
from harness.cli.probe import probe_command
from harness.cli.report import report_command
from harness.cli.run import run_command
from harness.cli.schema import schema_command
from harness.cli.trend import trend_command
from harness.errors import HarnessError

app = typer.Typer(
    name="harness",
    help="Which fine-tuning method and which quantization, on this model, this GPU and this task?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run_command)
app.command("plan")(plan_command)
app.command("report")(report_command)
app.command("claims")(claims_command)
app.command("card")(card_command)
app.command("noise")(noise_command)
app.command("compare")(compare_command)
app.command("bisect-env")(bisect_command)
app.add_typer(baseline_app, name="baseline")
app.command("probe")(probe_command)
app.command("list")(list_command)
app.add_typer(history_app, name="history")
app.command("trend")(trend_command)
app.command("export")(export_command)
app.command("import")(import_command)
app.add_typer(cache_app, name="cache")
app.command("doctor")(doctor_command)
app.command("init")(init_command)
app.command("schema")(schema_command)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    if version:
        print(f"harness {__version__}")
        raise typer.Exit


def main() -> None:
    """The console script: runs the command; an error of ours is printed and decides the exit code."""
    try:
        app()
    except HarnessError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `harness plan … | head`
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
