"""Names that a suite's sections use among themselves: axes, quantities, references. Checked when the suite is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import Problem, SuiteError, UnknownName, nearest
from harness.quantities import quantity
from harness.suite.find import is_path, reference_file, shipped_suites
from harness.suite.gate import gate_problems
from harness.suite.latency import unmeasured
from harness.suite.nodes import KeyPath, MappingNode, ScalarNode, SequenceNode, child, problem
from harness.suite.schema import LABELS, Measured, Sections
from harness.suite.yaml_nodes import read_yaml

PARTS = ("method", "task", "model", "scheme", "train")  # of a cell's configuration: a trend may go over a field of them


def check_names(sections: Sections, root: MappingNode, problems: list[Problem]) -> None:
    """Appends a problem for every name in exclude, report, claims and references that nothing has."""
    sweep = root.values.get("sweep")
    axes = [*LABELS, *(sweep.values if isinstance(sweep, MappingNode) else ())]
    problems += [problem(root, path, _unknown_axis(name, axes), key=key) for path, name, key in _axis_names(sections) if name not in axes]
    for path, key in _quantity_keys(sections):
        try:
            undirected = quantity(key).higher_is_better is None
            if undirected and path[1] == "plots":
                problems.append(problem(root, path, f"{key} has no better way, and a plot's front needs one on both axes"))
            nowhere = unmeasured(key, sections.measure.latency)
            if nowhere is not None:
                problems.append(problem(root, path, nowhere))
        except UnknownName as error:
            problems.append(problem(root, path, str(error)))
    claims = [claim.id for claim in sections.claims]
    for index, name in enumerate(claims):
        if name in claims[:index]:
            problems.append(problem(root, ("claims", index, "id"), f"the id {name} is already that of claims[{claims.index(name)}]"))
    problems += gate_problems(sections.gate, root, ("gate",))
    _check_references(sections, root, problems)


def _unknown_axis(name: str, axes: list[str]) -> str:
    guess = nearest(name, axes)
    return f"unknown axis {name!r}; " + (f"did you mean {guess}?" if guess else f"known: {', '.join(axes)}")


def _axis_names(sections: Sections) -> Iterator[tuple[KeyPath, str, bool]]:
    """(path, axis name, whether it is written as a key)."""
    for index, exclusion in enumerate(sections.exclude):
        yield from ((("exclude", index, name), name, True) for name in exclusion)
    for index, table in enumerate(sections.report.tables):
        for side in ("rows", "columns"):
            for at, name in enumerate(getattr(table, side)):
                yield ("report", "tables", index, side, at), name, False
    for index, claim in enumerate(sections.claims):
        for side in ("left", "right"):
            measured = getattr(claim, side)
            for name in measured.where if isinstance(measured, Measured) else ():
                yield ("claims", index, side, "where", name), name, True
        if claim.over is not None and claim.over.partition(".")[0] not in PARTS:
            yield ("claims", index, "over"), claim.over, False


def _quantity_keys(sections: Sections) -> Iterator[tuple[KeyPath, str]]:
    for index, table in enumerate(sections.report.tables):
        yield ("report", "tables", index, "metric"), table.metric
    for index, plot in enumerate(sections.report.plots):
        yield ("report", "plots", index, "x"), plot.x
        yield ("report", "plots", index, "y"), plot.y
    for index, claim in enumerate(sections.claims):
        for side in ("left", "right"):
            measured = getattr(claim, side)
            if isinstance(measured, Measured):
                yield ("claims", index, side, "metric"), measured.metric


def _check_references(sections: Sections, root: MappingNode, problems: list[Problem]) -> None:
    shipped = [path.stem for path in (shipped_suites() / "references").glob("*.yaml")]
    known: dict[str, Path] = {}
    for index, name in enumerate(sections.references):
        file = reference_file(name, Path(root.place.file).parent)
        if os.path.isfile(file):
            known[file.stem] = file
        else:
            trouble = f"there is no reference file {file}" if is_path(name) else str(UnknownName("reference", name, shipped))
            problems.append(problem(root, ("references", index), trouble))
    table_ids: dict[str, list[str]] = {}
    for index, table in enumerate(sections.report.tables):
        if table.reference is None:
            continue
        path: KeyPath = ("report", "tables", index, "reference")
        name, _, table_id = table.reference.partition(".")
        if name not in known and name not in sections.references:
            problems.append(problem(root, path, f"{name!r} is not among the suite's references; add it: references: [{name}]"))
        elif name in known:
            if name not in table_ids:
                table_ids[name] = _table_ids(known[name], problems)
            if table_id not in table_ids[name]:
                problems.append(problem(root, path, str(UnknownName(f"table of the reference {name}", table_id, table_ids[name]))))


def _table_ids(file: Path, problems: list[Problem]) -> list[str]:
    try:
        tables = read_yaml(file).values.get("tables")
    except SuiteError as error:
        problems += error.problems
        return []
    ids = [child(table, "id") for table in tables.items] if isinstance(tables, SequenceNode) else []
    return [id_.text for id_ in ids if isinstance(id_, ScalarNode)]
