"""`harness doctor [SUITE]`: what this installation can do, as text to paste into a bug report."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.cli.findings import Row
    from harness.needs import Machine
    from harness.suite.cell import Cell
    from harness.suite.plan import Plan

WIDTH = 30  # of the longest name, a kernel's
MOST_CELLS = 12  # of one reason in the text; --json has all


def doctor_command(
    suite: Annotated[str | None, typer.Argument(help="Also say which cells of this suite cannot run here.")] = None,
    profile: Annotated[str | None, typer.Option(help="The suite's profile.")] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Judge for this device.")] = "auto",
    kernels: Annotated[
        bool, typer.Option("--kernels", help="Try each scheme's kernel (those of the suite, where one is given) on a tiny model: a minute or more.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="No colours; without a terminal there are none anyway.")] = False,
    record: Annotated[Path | None, typer.Option(help="Only record what NVML answers, into this file: a trace that tests can play.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="With --record: for how long.")] = 10.0,
    period_ms: Annotated[float, typer.Option(min=1, help="With --record: time between two readings.")] = 10.0,
) -> None:
    """Say what works here and what does not: versions, device, packages, schemes, kernels, disks, hub.

    Nothing secret is in it: of tokens and proxies only whether they are set. With a suite, exit code 1 when some of its cells cannot run
    here.
    """
    from harness.measure.environment import machine

    if record is not None:
        _record(record, seconds, period_ms, device)
        return
    target = machine(device)
    plan = None if suite is None else _plan(suite, profile, target)
    sections = _sections(target, plan, kernels)
    unfit = {} if plan is None else _unfit(plan, sections.get("kernels", []))
    if as_json:
        _print_json(sections, plan, unfit)
    else:
        _print(sections, plan, unfit, plain)
    if unfit:
        raise typer.Exit(1)


def _sections(target: Machine, plan: Plan | None, kernels: bool) -> dict[str, list[Row]]:
    from harness.cli import findings

    schemes = None if plan is None else sorted({cell.config.scheme.scheme for cell in plan.cells if cell.unsupported is None})
    sections = {
        "versions": findings.versions(),
        "device": findings.device(target),
        "torch on the device": findings.torch_on(target, kernels),
        "bitsandbytes": findings.bitsandbytes(),
        "packages": findings.packages(),
        "schemes": findings.available("scheme", target),
        "kernels": findings.kernels(target, schemes) if kernels else findings.kernels_untried(),
        "methods": findings.available("method", target),
        "tasks": findings.available("task", target),
        "settings": findings.settings(),
        "disk": findings.disks(),
        "hub": findings.hub(),
    }
    return {title: list(rows) for title, rows in sections.items()}


def _plan(suite: str, profile: str | None, target: Machine) -> Plan:
    from harness.suite.find import find_suite
    from harness.suite.load import load_suite
    from harness.suite.plan import make_plan

    return make_plan(load_suite(find_suite(suite), profile), target)


def _unfit(plan: Plan, kernels: Collection[Row]) -> dict[str, list[Cell]]:
    """Reason -> the cells that cannot run here for it: what the plan knows, and schemes of which no kernel that was tried computes."""
    from harness.quantization.kernels_here import stand_in

    failed = {row.scheme: row for row in kernels if row.scheme and row.trouble}
    working = {row.scheme for row in kernels if row.scheme and not row.trouble}
    unfit: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        name = stand_in(cell.config.scheme.scheme)
        reason = cell.unsupported
        if reason is None and name in failed and name not in working:
            reason = f"{failed[name].name}: {failed[name].value}"
        if reason is not None:
            unfit.setdefault(reason, []).append(cell)
    return unfit


def _print(sections: dict[str, list[Row]], plan: Plan | None, unfit: dict[str, list[Cell]], plain: bool) -> None:
    from rich.console import Console

    console = Console(no_color=plain or None, markup=False, highlight=False, soft_wrap=True)
    for title, rows in sections.items():
        console.print(title, style=None if plain else "bold")
        for row in rows:
            console.print(f"  {row.name:<{WIDTH}} {row.value}", style="yellow" if row.trouble and not plain else None)
        console.print()
    if plan is not None:
        _print_cells(console, plan, unfit)


def _print_cells(console: Console, plan: Plan, unfit: dict[str, list[Cell]]) -> None:
    """How many cells can run; for each reason the cells that cannot."""
    refused = sum(map(len, unfit.values()))
    console.print(f"suite {plan.suite_name}")
    console.print(f"  {'cells':<{WIDTH}} {len(plan.cells) - refused} of {len(plan.cells)} can run here")
    for reason, cells in unfit.items():
        console.print(f"  {'cannot run here':<{WIDTH}} {reason}:")
        for cell in cells[:MOST_CELLS]:
            console.print(f"    {cell.labels}")
        if len(cells) > MOST_CELLS:
            console.print(f"    and {len(cells) - MOST_CELLS} more: --json lists them")


def _print_json(sections: dict[str, list[Row]], plan: Plan | None, unfit: dict[str, list[Cell]]) -> None:
    told: dict[str, object] = {title: [{"name": row.name, "value": row.value, "trouble": row.trouble} for row in rows] for title, rows in sections.items()}
    if plan is not None:
        refused = [{"id": cell.id, "cell": str(cell.labels), "reason": reason} for reason, cells in unfit.items() for cell in cells]
        told["suite"] = {"name": plan.suite_name, "profile": plan.profile, "cells": len(plan.cells), "cannot run here": refused}
    print(json.dumps(told, indent=1))


def _record(path: Path, seconds: float, period_ms: float, device: Literal["auto", "cpu", "cuda"]) -> None:
    from harness.errors import RequestError
    from harness.measure.environment import machine
    from harness.measure.nvml import open_nvml
    from harness.measure.nvml_driver import Library
    from harness.measure.nvml_trace import record_trace

    notes: list[str] = []
    nvml = open_nvml(notes, Library())
    if nvml is None:
        raise RequestError(f"--record writes down what the NVIDIA driver answers, and there is nobody to ask: {'; '.join(notes)}")
    nvml.close()
    for line in record_trace(path, seconds, period_ms, machine(device).device):
        print(line)
