"""`harness plan SUITE`: the cells of a suite, what they share, and what cannot run here and why. Runs nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.suite.cell import Cell
    from harness.suite.plan import Plan


LARGEST_TABLE = 200
SHORTEST_REASON = 30


class Device(StrEnum):
    """Where cells are to run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def plan_command(
    suite: Annotated[str, typer.Argument(help="Suite file, or the name of one in ./suites or shipped with harness.")],
    profile: Annotated[str | None, typer.Option("--profile", help="Profile of the suite to lay over it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: every cell with its whole configuration.")] = False,
    device: Annotated[Device, typer.Option("--device", help="Plan for this device; auto: a GPU if there is one.")] = Device.auto,
) -> None:
    """Show the cells of a suite, what is shared between them, and each unsupported cell with its reason."""
    from rich.console import Console

    from harness.measure.environment import machine
    from harness.suite.load import find_suite, load_suite
    from harness.suite.plan import make_plan

    plan = make_plan(load_suite(find_suite(suite), profile), machine(device.value))
    if as_json:
        print(json.dumps(plan_as_json(plan), indent=1, allow_nan=False))
        return
    console = Console(markup=False)  # reasons have square brackets
    _print_cells(plan, console)
    _print_shared(plan, console)
    for line in plan.sizes:
        console.print(f"budget: {line}", markup=False, highlight=False, soft_wrap=True)
    _print_reasons(plan, console)
    for problem in plan.problems:
        console.print(f"warning: {problem}", style="yellow", markup=False, soft_wrap=True)
    console.print(summary(plan), markup=False, highlight=False, soft_wrap=True)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values: counts, cells, shared work, warnings."""
    return {
        "suite": plan.suite_name,
        "profile": plan.profile,
        "counts": {"cells": len(plan.cells), "unsupported": len(plan.unsupported), "shared": len(plan.shared)},
        "cells": [_cell_as_json(cell) for cell in plan.cells],
        "shared": [
            {"kind": work.kind, "id": work.id, "labels": work.labels, "cells": list(work.cells)} for work in plan.shared
        ],
        "sizes": plan.sizes,
        "warnings": [str(problem) for problem in plan.problems],
    }


def summary(plan: Plan) -> str:
    """The counts in a sentence."""
    unsupported = len(plan.unsupported)
    name = f"{plan.suite_name} ({plan.profile})" if plan.profile else plan.suite_name
    return (
        f"{name}: {len(plan.cells):,} cells, {len(plan.cells) - unsupported:,} to run, {unsupported:,} unsupported here; "
        f"{plan.evaluations_saved:,} untuned evaluations saved by sharing"
    )


def _cell_as_json(cell: Cell) -> dict[str, Any]:
    part = cell.record_part().model_dump(mode="json", exclude={"suite", "profile"})
    chosen = None if cell.chosen is None else asdict(cell.chosen)
    return part | {"untuned_ids": list(cell.untuned_ids), "chosen": chosen, "unsupported": cell.unsupported}


def _print_cells(plan: Plan, console: Console) -> None:
    """A table where it fits the terminal, else plain columns: ids must stay whole, and 2,000 rows be drawn at once."""
    from rich.table import Table

    swept = list(dict.fromkeys(key for cell in plan.cells for key in cell.labels.sweep))
    heading = ["cell", "model", "quantization", "method", "task", "seed", *swept]
    heading += ["unsupported, because"] if plan.unsupported else []
    rows = [_cell_row(cell, swept)[: len(heading)] for cell in plan.cells]
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    unbroken = sum(widths[:-1]) + min(widths[-1], SHORTEST_REASON) + 3 * len(widths) + 1
    if len(rows) <= LARGEST_TABLE and unbroken <= console.width:
        table = Table()
        for index, title in enumerate(heading):
            table.add_column(title, no_wrap=index < len(heading) - 1)
        for cell, row in zip(plan.cells, rows, strict=True):
            table.add_row(*row, style="dim" if cell.unsupported else None)
        console.print(table)
        return
    for row in (heading, *rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _cell_row(cell: Cell, swept: list[str]) -> list[str]:
    labels = cell.labels
    values = [str(labels.sweep.get(key, "–")) for key in swept]
    place = [labels.model, labels.quantization, labels.method, labels.task, str(labels.seed)]
    return [cell.id, *place, *values, cell.unsupported or ""]


def _print_shared(plan: Plan, console: Console) -> None:
    from rich.table import Table

    if plan.shared:
        table = Table("shared", "of", "cells", title="Done once for several cells", title_justify="left")
        for work in plan.shared[:LARGEST_TABLE]:
            table.add_row(work.kind, work.labels, str(len(work.cells)))
        console.print(table)
        if len(plan.shared) > LARGEST_TABLE:
            console.print(f"... and {len(plan.shared) - LARGEST_TABLE:,} more; --json has all")


def _print_reasons(plan: Plan, console: Console) -> None:
    from rich.table import Table

    if plan.unsupported:
        table = Table("cells", "cannot run here, because", title="Unsupported", title_justify="left")
        for reason, count in Counter(cell.unsupported or "" for cell in plan.unsupported).most_common():
            table.add_row(str(count), reason)
        console.print(table)
