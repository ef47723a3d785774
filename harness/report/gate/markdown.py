"""`md`: a comparison on one screen, the verdict first, for a job summary or a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.analysis.gate.changes import Change
from harness.analysis.gate.compare import Comparison
from harness.analysis.table import Column, Table, entries, name_columns
from harness.report.gate.words import notices, verdict_line
from harness.report.markdown import escape_markdown, markdown_table

MOST = 12  # rows and lines of each kind: one screen
MOST_BETTER = 4


def gate_markdown(found: Comparison) -> str:
    """The page."""
    return "\n\n".join(_parts(found)) + "\n"


def _parts(found: Comparison) -> Iterator[str]:
    yield f"**{escape_markdown(verdict_line(found))}**"
    saved = f" ({found.left.saved})" if found.left.saved else ""
    yield escape_markdown(f"{found.right.name} against {found.left.name}{saved}, on {', '.join(found.right.devices) or 'no device'}.")
    if found.verdict == "not comparable":
        yield _list(f"{obstacle.sentence} (--allow-different {obstacle.kind} goes on)" for obstacle in found.obstacles)
        return
    if found.regressions:
        yield _list(f"{event.kind}: {event.place}: {event.sentence}" for event in found.regressions)
    if found.worse:
        yield markdown_table(_table(found.worse))
    if found.suspects or found.phases:
        yield "**Why?**"
        yield _list([*(suspect.sentence for suspect in found.suspects), *(move.sentence for move in found.phases)])
    elif found.worse or found.regressions:
        yield "**Why?** " + ("What changed touches none of these cells." if found.moved else "Nothing recorded differs: the same packages, driver, commit and clocks.")
    if found.moved:
        yield escape_markdown(f"Changed since the baseline: {'; '.join(map(str, found.moved))}.")
    told = list(notices(found))
    if told:
        yield _list(told)
    better = found.of("better")
    if better:
        shown = "; ".join(f"{change.place}: {change.sentence}" for change in better[:MOST_BETTER])
        yield escape_markdown(f"Better: {shown}{f'; and {len(better) - MOST_BETTER} more numbers' if len(better) > MOST_BETTER else ''}.")


def _table(changes: Iterable[Change]) -> Table:
    changes = list(changes)
    rows = []
    for change in changes[:MOST]:
        quantity = change.number.quantity
        noise = "unknown" if change.chance.p is None else "–" if quantity.exact else f"p {change.chance.p:.1g} ({change.chance.by})"
        values = [quantity.show(change.number.left.mean), quantity.show(change.number.right.mean), change.size, change.tolerance.words(quantity)]
        rows.append(entries([change.place, quantity.label, *values, noise]))
    columns = (*name_columns(["cell", "quantity"]), *(Column(label) for label in ("baseline", "run", "change", "tolerance")), *name_columns(["noise"]))
    notes = (f"{len(changes) - MOST} more numbers are worse.",) if len(changes) > MOST else ()
    return Table("worse", "Worse", columns, tuple(rows), notes)


def _list(lines: Iterable[str]) -> str:
    lines = list(lines)
    shown = [f"- {escape_markdown(line)}" for line in lines[:MOST]]
    return "\n".join(shown + ([f"- and {len(lines) - MOST} more"] if len(lines) > MOST else []))

