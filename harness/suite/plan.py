"""From a suite to a plan: its cells on one machine, what they share, and what is probably not meant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from harness.errors import Problem, SuiteError
from harness.models.source import cache_folder
from harness.needs import Machine
from harness.suite.cell import Cell
from harness.suite.check import check
from harness.suite.compatibility import known_problems
from harness.suite.cross import Cross
from harness.suite.exclude import Exclusions, matches, place
from harness.suite.identity import Identities
from harness.suite.nodes import KeyPath
from harness.suite.schema import Measured, Suite
from harness.suite.sizes import Sizes
from harness.suite.support import Support

SharedKind: TypeAlias = Literal["untuned evaluation"]


@dataclass(frozen=True)
class SharedWork:
    """Work that is done once for several cells. labels: what it is about; cells: their ids, in the order they run."""

    kind: SharedKind
    id: str
    labels: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The cells of a suite on one machine. problems: what does not stop the run, but is probably not meant."""

    suite_name: str
    profile: str | None
    cells: list[Cell]
    shared: list[SharedWork]
    problems: list[Problem]

    @property
    def unsupported(self) -> list[Cell]:
        """The cells that cannot run here, each with its reason."""
        return [cell for cell in self.cells if cell.unsupported is not None]

    @property
    def sizes(self) -> list[str]:
        """What budgets chose, a line for each model and method: `roberta-large / lora: r 6 gives 294,912 parameters, ...`."""
        lines = (f"{cell.labels.model} / {cell.labels.method}: {cell.chosen}" for cell in self.cells if cell.chosen is not None)
        return list(dict.fromkeys(lines))

    @property
    def evaluations_saved(self) -> int:
        """Evaluations before training that a cell takes from another one; cells that train nothing make their own."""
        tuning = {cell.id for cell in self.cells if cell.config.method.tunes}
        return sum(min(len(tuning.intersection(work.cells)), len(work.cells) - 1) for work in self.shared)


def make_plan(suite: Suite, machine: Machine) -> Plan:
    """The plan; raises SuiteError with every problem: models or data that cannot be used, two labels for one cell."""
    identities = Identities()
    checked = check(suite, identities)
    exclusions = Exclusions(suite.exclude)
    support = Support(machine)
    sizes = Sizes(suite, checked, support, cache_folder())
    cells = list(Cross(suite, checked, support, identities, sizes).cells(exclusions))
    if not cells:
        raise SuiteError([suite.problem(("exclude",), "every cell is excluded: there is nothing to run")])
    duplicates = list(_duplicates(suite, cells))
    if duplicates:
        raise SuiteError(duplicates)
    problems = [suite.problem(("exclude", index), "matches no cell, so it excludes nothing") for index in exclusions.unused()]
    return Plan(suite.name, suite.profile, cells, _shared(cells), [*problems, *_unmatched(suite, cells), *known_problems(suite, cells)])


def _duplicates(suite: Suite, cells: Iterable[Cell]) -> Iterator[Problem]:
    """Two labels for the same work, once for each pair of labels that differ."""
    first: dict[str, Cell] = {}
    said: set[str] = set()
    for cell in cells:
        other = first.setdefault(cell.id, cell)
        if other is cell:
            continue
        here, there = place(cell.labels), place(other.labels)
        axes = [axis for axis in here if here[axis] != there.get(axis)]
        pair = " and ".join(
            ", ".join(f"{axis} {at[axis]}" for axis in axes if axis in at) for at in (there, here)
        )
        if pair not in said:
            said.add(pair)
            yield suite.problem(_axis_path(suite, axes[0], here), f"{pair} are the same work (cell {cell.id}); drop one of them")


def _axis_path(suite: Suite, axis: str, at: dict[str, Any]) -> KeyPath:
    """Where the label on that axis is written."""
    key = {"model": "models", "quantization": "quantization", "method": "methods", "task": "tasks"}.get(axis)
    if key is None:
        return ("sweep", axis)
    ids = [entry.id for entry in getattr(suite, key)]
    return (key, ids.index(at[axis]))


def _shared(cells: list[Cell]) -> list[SharedWork]:
    """What at least two cells that can run have in common, in the order of the cells."""
    groups: dict[str, list[Cell]] = defaultdict(list)
    evaluated: dict[str, str] = {}
    for cell in cells:
        if cell.unsupported is None:
            for id_, (name, _) in zip(cell.untuned_ids, cell.config.evaluated, strict=True):
                groups[id_].append(cell)
                evaluated.setdefault(id_, cell.labels.task if name is None else name)
    return [
        SharedWork("untuned evaluation", id_, _shared_labels(group, evaluated[id_]), tuple(cell.id for cell in group))
        for id_, group in groups.items()
        if len(group) > 1
    ]


def _shared_labels(group: list[Cell], task: str) -> str:
    labels = group[0].labels
    words = [labels.model, ", ".join(dict.fromkeys(cell.labels.quantization for cell in group)), task]
    if len({cell.labels.seed for cell in group}) == 1:
        words.append(f"seed {labels.seed}")
    return " / ".join(words)


def _unmatched(suite: Suite, cells: list[Cell]) -> Iterator[Problem]:
    """Sides of claims whose `where` names a label that no cell has: the claim could never be decided."""
    present: dict[str, dict[str, Any]] = defaultdict(dict)
    for cell in cells:
        for axis, label in place(cell.labels).items():
            present[axis][str(label)] = label
    for index, claim in enumerate(suite.claims):
        for side in ("left", "right"):
            measured = getattr(claim, side)
            for axis, pattern in measured.where.items() if isinstance(measured, Measured) else ():
                if not any(matches(pattern, label) for label in present[axis].values()):
                    message = f"no cell has a {axis} that matches {pattern!r}: the claim cannot be decided"
                    yield suite.problem(("claims", index, side, "where", axis), message)
