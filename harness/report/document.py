"""The report before it has a form: what every format prints, in the order in which a person reads it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from harness.analysis.answers import answer_table
from harness.analysis.appendix import environment_table, notes_table, problem_table, protocol_table, unread
from harness.analysis.claims import CheckedClaim, check_claims
from harness.analysis.columns import device_name
from harness.analysis.cost import cost_table
from harness.analysis.forms import form_table
from harness.analysis.parts import part_tables
from harness.analysis.run import Run
from harness.analysis.schemes import scheme_table
from harness.analysis.table import Table, entries, name_columns
from harness.analysis.tables import result_tables
from harness.analysis.tuning import forgetting_table, tuning_table
from harness.report.plots import Figure, figures
from harness.report.rank_maps import rank_figures


@dataclass(frozen=True)
class Document:
    """All parts of one report; None or empty where the records have nothing for a part.

    summary: what was run, in sentences. unread: what of the run directory is not in here. command, reproduction:
    the shell line that runs it again, and with which versions.
    """

    run: Run
    title: str
    description: str | None
    summary: tuple[str, ...]
    answer: Table | None
    schemes: Table | None
    forms: Table | None
    results: tuple[Table, ...]
    tuning: Table | None
    forgetting: Table | None
    cost: Table | None
    checked: tuple[CheckedClaim, ...]
    problems: Table | None
    parts: tuple[Table, ...]
    notes: Table | None
    protocols: Table | None
    environment: Table | None
    unread: tuple[str, ...]
    command: str
    reproduction: str

    @property
    def claims(self) -> Table | None:
        """The claims with their verdicts as a table."""
        return claims_table(self.checked)

    @property
    def tables(self) -> list[Table]:
        """Every table, in the order of the report."""
        parts = [self.answer, self.schemes, self.forms, *self.results, self.claims, self.tuning, self.forgetting, self.cost, self.problems]
        parts += [*self.parts, self.notes, self.protocols, self.environment]
        return [table for table in parts if table is not None]

    @cached_property
    def rank_figures(self) -> list[Figure]:
        """Where ranks went, as heat maps; drawn when a format first asks for them."""
        return rank_figures(self.run)

    @cached_property
    def figures(self) -> list[Figure]:
        """The plots, drawn when a format first asks for them."""
        return figures(self.run)


def document(run: Run) -> Document:
    """Computes every part of the report of a run; raises UnknownName for a quantity that nothing knows."""
    rows, order = run.rows, run.order
    layouts = run.suite.report.tables if run.suite else []
    return Document(
        run=run,
        title=run.title,
        description=run.suite.description if run.suite else None,
        summary=tuple(_summary(run)),
        answer=answer_table(rows, order),
        schemes=scheme_table(rows, order),
        forms=form_table(rows, order),
        results=tuple(result_tables(rows, layouts, order)),
        tuning=tuning_table(rows, order),
        forgetting=forgetting_table(rows, order),
        cost=cost_table(rows, order),
        checked=tuple(check_claims(rows, run.suite.claims if run.suite else [])),
        problems=problem_table(rows),
        parts=tuple(part_tables(rows, order)),
        notes=notes_table(rows),
        protocols=protocol_table(rows),
        environment=environment_table(rows),
        unread=tuple(unread(run)),
        command=shlex.join(["harness", "run", str(run.path / "suite.yaml"), "--out", f"{run.path}-again"]),
        reproduction=_reproduction(run),
    )


def claims_table(checked: Sequence[CheckedClaim]) -> Table | None:
    """Claims, verdicts and the figures behind them; None for no claims."""
    if not checked:
        return None
    body = tuple(entries([found.claim.id, found.verdict, _claim_words(found), found.sentence]) for found in checked)
    note = "In square brackets: 95 % intervals. docs/reports.md of the harness says how a verdict is reached."
    return Table("claims", "Do the claims hold here?", name_columns(["claim", "verdict", "claimed", "found"]), body, (note,))


def _claim_words(found: CheckedClaim) -> str:
    return f"{found.claim.text} ({found.claim.source})" if found.claim.text else found.claim.source


def _summary(run: Run) -> list[str]:
    """What was run, how it ended, where and when."""
    if not run.rows:
        return ["No cell has a record yet."]
    records = [row.record for row in run.rows]
    counts = Counter(record.outcome.status for record in records)
    broken = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if status != "ok")
    cells = f"{_counted(len(records), 'cell')}: {counts['ok']} ok" + (f", {broken}." if broken else ".")
    cells += f" {_counted(run.waiting, 'planned cell')} not run yet." if run.waiting else ""
    axes = {"model": "model", "quantization": "scheme", "method": "method", "task": "task", "seed": "seed"}
    crossed = ", ".join(_counted(len({row.axes[axis] for row in run.rows}), name) for axis, name in axes.items())
    devices = "; ".join(dict.fromkeys(device_name(record) for record in records))
    first, last = min(record.started for record in records), max(record.finished for record in records)
    profiles = sorted({record.cell.profile for record in records if record.cell.profile})
    return [
        cells,
        f"Crossed: {crossed}.",
        f"Device: {devices}.",
        f"Measured from {_moment(first)} to {_moment(last)}.",
        *([f"Profile: {', '.join(profiles)}."] if profiles else []),
    ]


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}".rstrip()


def _reproduction(run: Run) -> str:
    """What the records were made with, in a sentence."""
    versions = sorted({row.record.environment.harness for row in run.rows})
    seeds = sorted({row.record.cell.seed for row in run.rows})
    with_versions = f"Run with harness {', '.join(versions)}" if versions else "No record yet"
    return (
        f"{with_versions}; suite {run.name}, run {run.path.name}, seeds {', '.join(map(str, seeds)) or 'none'}. suite.yaml is the "
        "resolved suite with its profile applied; every record carries its whole configuration and the versions of all packages."
    )
