"""The report before it has a form: what every format prints, in the order in which a person reads it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from harness.analysis.answers import answer_table
from harness.analysis.appendix import environment_table, notes_table, problem_table, protocol_table, unread
from harness.analysis.brief import brief
from harness.analysis.checkpoints import checkpoint_table
from harness.analysis.claims import CheckedClaim, check_claims
from harness.analysis.columns import device_name
from harness.analysis.cost import cost_table
from harness.analysis.curves import learning_curves
from harness.analysis.fits import fits_table
from harness.analysis.forms import form_table
from harness.analysis.latency import latency_tables
from harness.analysis.memory_ways import memory_table
from harness.analysis.noise_table import noise_table
from harness.analysis.over_time_tables import over_time_tables
from harness.analysis.parts import part_tables
from harness.analysis.run import Run
from harness.analysis.schemes import SchemePair, scheme_pairs, scheme_table
from harness.analysis.table import Table, entries, name_columns
from harness.analysis.tables import result_tables
from harness.analysis.timelines import memory_timelines
from harness.analysis.tuning import forgetting_table, tuning_table
from harness.report.figure import Figure
from harness.report.line_plots import line_figure
from harness.report.plots import pareto_figures
from harness.report.rank_maps import rank_figures

Plots = Literal["pareto", "learning", "memory", "ranks"]


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it. tables: with headings of their own where `headed`, else the one table that the section is about.

    plots: the key of the figures and charts in it. appendix: not part of what a paper would print.
    """

    title: str
    tables: tuple[Table, ...] = ()
    headed: bool = False
    plots: Plots | None = None
    appendix: bool = False


@dataclass(frozen=True)
class Document:
    """All parts of one report, those for which the records have something.

    brief: the answer, in sentences. summary: what was run, in sentences. unread: what of the run directory is not in here. command, reproduction:
    the shell line that runs it again, and with which versions.
    """

    run: Run
    title: str
    description: str | None
    brief: tuple[str, ...]
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    checked: tuple[CheckedClaim, ...]
    unread: tuple[str, ...]
    command: str
    reproduction: str

    @property
    def tables(self) -> list[Table]:
        """Every table, in the order of the report."""
        return [table for section in self.sections for table in section.tables]

    def figures(self, plots: Plots) -> list[Figure]:
        """The plots of a section, drawn when their text or image is asked for."""
        return figures(self.run, plots)


def _curves(run: Run) -> list[Figure]:
    return [line_figure(chart) for chart in learning_curves(run.rows, run.order, run.path)]


def _timelines(run: Run) -> list[Figure]:
    return [line_figure(chart) for chart in memory_timelines(run.rows, run.order, run.path)]


FIGURES: Mapping[Plots, Callable[[Run], list[Figure]]] = {"pareto": pareto_figures, "ranks": rank_figures, "learning": _curves, "memory": _timelines}


def figures(run: Run, plots: Plots) -> list[Figure]:
    """The plots of a run of that kind, drawn when their text or image is asked for."""
    return FIGURES[plots](run)


def document(run: Run, history: Path | None = None) -> Document:
    """Computes every part of the report of a run; raises UnknownName for a quantity that nothing knows, DataError for a history that is none."""
    checked = tuple(check_claims(run.rows, run.suite.claims if run.suite else [], run.absent))
    pairs = scheme_pairs(run.rows)
    return Document(
        run=run,
        title=run.title,
        description=run.suite.description if run.suite else None,
        brief=tuple(brief(run.rows, run.order, checked, pairs)),
        summary=tuple(_summary(run)),
        sections=tuple(section for section in _sections(run, checked, pairs, history) if section.tables or section.plots),
        checked=checked,
        unread=tuple(unread(run)),
        command=shlex.join(["harness", "run", str(run.path / "suite.yaml"), "--out", f"{run.path}-again"]),
        reproduction=_reproduction(run),
    )


def _sections(run: Run, checked: Sequence[CheckedClaim], pairs: Sequence[SchemePair], history: Path | None) -> Iterator[Section]:
    """The report in the order in which a person reads it; a section without anything to show is left out afterwards."""
    rows, order = run.rows, run.order
    layouts = run.suite.report.tables if run.suite else []
    yield _about(answer_table(rows, order))
    yield _about(scheme_table(rows, order, pairs))
    yield _about(form_table(rows, order))
    yield _about(fits_table(rows, order))
    yield Section("Results", tuple(result_tables(rows, layouts, order, run.suite.references if run.suite else ())), headed=True)
    yield _about(claims_table(checked))
    yield _about(tuning_table(rows, order))
    yield _about(forgetting_table(rows, order))
    yield _about(checkpoint_table(rows, order))
    yield Section("Quality against cost", plots="pareto")
    yield Section("Where the rank went", plots="ranks")
    yield Section("How fast it answers", tuple(latency_tables(rows, order)), headed=True)
    yield _about(cost_table(rows, order))
    yield _about(memory_table(rows, order))
    yield _about(noise_table(run.noise) if run.noise else None)
    yield Section("Over time", tuple(over_time_tables(run, history)) if history else (), headed=True)
    yield Section("How training went", plots="learning")
    yield Section("Memory over time", plots="memory")
    yield _about(problem_table(rows))
    yield Section("In parts", tuple(part_tables(rows, order)), headed=True, appendix=True)
    yield _about(notes_table(rows), appendix=True)
    yield _about(protocol_table(rows), appendix=True)
    yield _about(environment_table(rows), appendix=True)


def _about(table: Table | None, appendix: bool = False) -> Section:
    """The section that one table is; an empty one for none."""
    return Section(table.title, (table,), appendix=appendix) if table is not None else Section("")


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
    cells += f" {_counted(run.waiting, 'planned cell')} without a record." if run.waiting else ""
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
