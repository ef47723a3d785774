"""`harness run --dry-run`: which cells would run and why, and which would not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from harness.runs.dry_run import DryRun


def show(console: Console, found: DryRun) -> None:
    """A line per cell that would be started, and counts of the others."""

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    for problem in found.problems:
        line(problem)
    if found.left_behind is not None:
        line(f"{found.left_behind} is not finished, and cannot go on: its cells' ids are of another version of the harness")
    line(f"run directory {found.run}" + ("" if found.run.exists() else " (new)"))
    for cell, reason in found.to_run:
        line(f"would run {cell.id} {cell.labels}: {reason}")
    for reason, count in Counter(cell.unsupported or "" for cell in found.unsupported).most_common():
        line(f"{count} unsupported: {reason}")
    statuses = ", ".join(f"{count} {status}" for status, count in found.finished.most_common())
    searches = f"; {found.searches} searches of what fits are left" if found.searches else ""
    aside = f"; {len(found.set_aside)} records would be moved to superseded/" if found.set_aside else ""
    finished = f"{found.finished.total()} finished before" + (f" ({statuses})" if statuses else "")
    line(f"would run {len(found.to_run)} cells; {len(found.unsupported)} unsupported; {finished}{searches}{aside}; nothing was written")
