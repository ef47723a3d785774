"""What a reader needs beside the numbers: cells that are not ok, notes, protocols, where it ran, what was not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from harness.analysis.columns import AXES, Row, axis_value, device_name
from harness.analysis.run import Run
from harness.analysis.table import Table, entries, name_columns
from harness.quantities import QUANTITIES
from harness.records.schema import Environment

LONGEST_MESSAGE = 300


def problem_table(rows: Sequence[Row]) -> Table | None:
    """Every cell that is not ok, with its phase and reason; None where all are."""
    broken = [row for row in rows if not row.ok]
    if not broken:
        return None
    body = []
    for row in broken:
        outcome = row.record.outcome
        swept = ", ".join(f"{axis}={axis_value(value)}" for axis, value in row.axes.items() if axis not in AXES)
        reason = shortened(outcome.message or "no message") + (f" (after {outcome.retries} retries)" if outcome.retries else "")
        places = [axis_value(row.axes[axis]) for axis in AXES]
        body.append(entries([*places, swept, outcome.status, outcome.phase or "–", reason, row.record.cell.id]))
    columns = name_columns([*AXES, "sweep", "outcome", "phase", "reason", "cell"])
    table = Table("not-ok", "Cells that are not ok", columns, tuple(body), ("Each cell's log is log.txt in its folder under cells/ of the run directory.",))
    return without_empty_columns(table)


def notes_table(rows: Sequence[Row]) -> Table | None:
    """Every note of the records once, with the number of cells that carry it, the most frequent first."""
    counts = Counter(note for row in rows for note in dict.fromkeys(row.record.notes))
    if not counts:
        return None
    body = tuple(entries([str(count), note]) for note, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return Table("notes", "Notes", name_columns(["cells", "note"]), body)


def protocol_table(rows: Sequence[Row]) -> Table | None:
    """Every protocol of a metric: which metrics, on which split, over how many items."""
    found: dict[tuple[str, str], tuple[dict[str, None], set[int]]] = {}
    for row in rows:
        for metric in row.record.metrics:
            names, items = found.setdefault((metric.protocol, metric.split), ({}, set()))
            base = metric.name.partition(":")[0]
            names[QUANTITIES[base].label if base in QUANTITIES else base] = None
            items |= {metric.n} if metric.n is not None and base == metric.name else set()
    if not found:
        return None
    body = tuple(
        entries([protocol, ", ".join(names), split, ", ".join(f"{n:,}" for n in sorted(items)) or "–"])
        for (protocol, split), (names, items) in sorted(found.items())
    )
    note = "Numbers of different protocols are not comparable. docs/protocols.md of the harness says what each one does."
    return Table("protocols", "Protocols", name_columns(["protocol", "metrics", "split", "items"]), body, (note,))


def environment_table(rows: Sequence[Row]) -> Table | None:
    """Where the cells ran: one row per fact, all values where cells differ; None without records."""
    places = [row.record.environment for row in rows]
    if not places:
        return None
    facts = {
        "device": [device_name(row.record) for row in rows],
        "driver, CUDA": [_joined(place.driver, place.cuda) for place in places],
        "CPU": [_joined(place.cpu, f"{place.cores} cores" if place.cores else None) for place in places],
        "memory": [QUANTITIES["memory.peak_vram"].show(place.memory_bytes) for place in places],
        "host": [place.host for place in places],
        "platform": [place.platform for place in places],
        "Python": [place.python for place in places],
        "harness": [_harness(place) for place in places],
        "packages": [", ".join(f"{name} {version}" for name, version in sorted(place.packages.items())) for place in places],
    }
    body = tuple(entries([name, "; ".join(_distinct(values))]) for name, values in facts.items() if _distinct(values))
    return Table("environment", "Environment", name_columns(["what", "value"]), body)


def unread(run: Run) -> list[str]:
    """What of the run directory is not in the report, one sentence each."""
    sentences = [problem for problem in (run.suite_problem, run.noise_problem) if problem]
    sentences += [f"{damaged.path.name}: {damaged.reason}" for damaged in run.damaged]
    sentences += [f"{left.row.record.cell.id} ({left.row.name()}): {left.reason}" for left in run.left_out]
    return [shortened(sentence) for sentence in sentences]


def shortened(message: str, longest: int = LONGEST_MESSAGE) -> str:
    """One line, at most that many characters."""
    line = " ".join(message.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def without_empty_columns(table: Table) -> Table:
    """The table without the columns in which no row has a text."""
    kept = [at for at in range(len(table.columns)) if any(row[at].text for row in table.rows)]
    rows = tuple(tuple(row[at] for at in kept) for row in table.rows)
    return Table(table.name, table.title, tuple(table.columns[at] for at in kept), rows, table.notes, table.footnotes)


def _harness(place: Environment) -> str:
    commit = f"commit {place.git.commit[:12]}{', with uncommitted changes' if place.git.dirty else ''}" if place.git else None
    return _joined(place.harness, commit)


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def _distinct(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value and value != "–"]
