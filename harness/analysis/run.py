"""A run directory read back: its records as rows, its suite, and whatever could not be read or does not count."""

from __future__ import annotations

from collections.abc import Container, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ValidationError

from harness.analysis.columns import Row, rows
from harness.analysis.groups import AxisOrder, axes_of, group_by
from harness.analysis.noise import fitting_noise, with_noise
from harness.errors import RequestError
from harness.records.links import refuse_links
from harness.records.noise import NOISE, Noise
from harness.records.planned import Place, Planned
from harness.records.store import Damaged, RecordStore
from harness.suite.load import load_suite
from harness.suite.schema import Suite


@dataclass(frozen=True)
class LeftOut:
    """A record that is whole but does not count, and why."""

    row: Row
    reason: str


@dataclass(frozen=True)
class Run:
    """One run directory.

    suite: None where its suite.yaml cannot be read, then suite_problem says why. waiting: how many planned cells
    have no record yet; None where run.json does not tell. absent: where those stand on the axes, if it tells. noise: of A/A repeats, which the rows' readings carry; None where there
    is none, or where noise_problem says why it cannot be used.
    """

    path: Path
    suite: Suite | None
    suite_problem: str | None
    rows: tuple[Row, ...]
    damaged: tuple[Damaged, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    order: AxisOrder = field(default_factory=AxisOrder)
    waiting: int | None = None
    noise: Noise | None = None
    noise_problem: str | None = None
    absent: tuple[Place, ...] = ()

    @property
    def name(self) -> str:
        """The suite's name, or that of the directory."""
        return self.suite.name if self.suite else self.rows[0].record.cell.suite if self.rows else self.path.name

    @property
    def title(self) -> str:
        """The suite's title, or its name."""
        return (self.suite.title if self.suite else None) or self.name

    def require_suite(self) -> Suite:
        """The suite; raises RequestError that says why there is none."""
        if self.suite is None:
            raise RequestError(f"{self.suite_problem}")
        return self.suite


def read_run(path: Path, noise: Path | None = None) -> Run:
    """Reads a run directory; raises NotARun for a directory that is none, or that holds symbolic links.

    noise: a noise.json, or a run directory that has one, to take the noise floors from; None for the run's own, if it has any. One
    that is given must fit (raises RequestError); one of the run's own that does not costs the floors, not the report.

    A suite.yaml that is absent or no longer valid here costs the suite's own layout, not the report. Records of
    cells that run.json does not plan (the suite was changed between two runs of this directory) don't count.
    Without run.json, of two records at one place the later one counts, and none of ids that the suite does not have.
    """
    refuse_links(path)
    records, damaged = RecordStore(path).read_all()
    suite, problem = _suite(path / "suite.yaml")
    found, planned = rows(records), _planned(path / "run.json")
    kept, left_out = _current(found, suite) if planned is None else _of_the_plan(found, planned)
    order = AxisOrder() if suite is None else AxisOrder(_ids(suite))
    there = {row.record.cell.id for row in found}
    absent = None if planned is None else [place for id_, place in planned.items() if id_ not in there]
    floors, no_floors = _noise(path, noise, kept)
    kept = kept if floors is None else list(with_noise(kept, floors))
    return Run(
        path, suite, problem, tuple(order.sort(kept, axes_of(kept))), tuple(damaged), tuple(left_out), order,
        waiting=None if absent is None else len(absent), noise=floors, noise_problem=no_floors, absent=tuple(filter(None, absent or ())),
    )  # fmt: skip


def _noise(run: Path, given: Path | None, kept: Sequence[Row]) -> tuple[Noise | None, str | None]:
    """The noise that is used, and why that of the run itself is not."""
    if given is not None:
        return fitting_noise(given, kept), None
    if not (run / NOISE).exists():
        return None, None
    try:
        return fitting_noise(run, kept), None
    except RequestError as error:
        return None, f"{error}: no noise floors are used"


class _Plan(BaseModel):
    """What is read of run.json."""

    planned: Planned


def _planned(file: Path) -> Planned | None:
    """The ids of all cells of the plan, and where each stands on the axes; None where the file does not tell."""
    try:
        return _Plan.model_validate_json(file.read_bytes()).planned
    except (OSError, ValidationError):
        return None


def _of_the_plan(found: Sequence[Row], planned: Container[str]) -> tuple[list[Row], list[LeftOut]]:
    kept = [row for row in found if row.record.cell.id in planned]
    gone = [row for row in found if row.record.cell.id not in planned]
    return kept, [LeftOut(row, "the suite was changed since: this cell is not in its plan any more") for row in gone]


def _suite(file: Path) -> tuple[Suite | None, str | None]:
    if not file.is_file():
        return None, f"{file} is missing: the suite's own tables and claims are not shown"
    try:
        return load_suite(file), None
    except RequestError as error:
        return None, f"{file} cannot be read, so the suite's own tables and claims are not shown: {error}"


def _current(found: Sequence[Row], suite: Suite | None) -> tuple[list[Row], list[LeftOut]]:
    kept: list[Row] = []
    left_out: list[LeftOut] = []
    for at_one_place in group_by(found, axes_of(found)).values():
        *older, latest = sorted(at_one_place, key=lambda row: (row.record.finished, row.record.cell.id))
        left_out += [LeftOut(row, "another version of this cell was run later") for row in older]
        gone = _gone(latest, suite)
        if gone:
            left_out.append(LeftOut(latest, f"the suite no longer has {gone}"))
        else:
            kept.append(latest)
    return kept, left_out


def _gone(row: Row, suite: Suite | None) -> str | None:
    """What the suite no longer has of a cell's place, or None."""
    if suite is None:
        return None
    known = _ids(suite)
    for axis, value in row.axes.items():
        if value not in known.get(axis, ()):
            return f"the {axis} {value}"
    return None


def _ids(suite: Suite) -> dict[str, Sequence[Hashable]]:
    return {
        "model": [entry.id for entry in suite.models],
        "quantization": [entry.id for entry in suite.quantization],
        "method": [entry.id for entry in suite.methods],
        "task": [entry.id for entry in suite.tasks],
        "seed": list(suite.seeds),
        **suite.sweep,
    }
