"""Reading suites/references/*.yaml: as strictly as suites, with file:line:column for everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from harness.analysis.references import Reference, ReferenceTable
from harness.errors import Problem, SuiteError, UnknownName
from harness.suite.find import is_path, shipped_suites
from harness.suite.nodes import MappingNode, problem
from harness.suite.validation import validated
from harness.suite.yaml_nodes import read_yaml


def references_folder() -> Path:
    """Where the reference files are, in a repository and in an installed wheel."""
    return shipped_suites() / "references"


def reference_names() -> list[str]:
    """The names of all reference files, sorted."""
    return sorted(path.stem for path in references_folder().glob("*.yaml"))


@lru_cache
def reference(name: str) -> Reference:
    """The reference of that name; raises UnknownName, and SuiteError with all that is wrong with its file."""
    if name not in reference_names():
        raise UnknownName("reference", name, reference_names())
    return read_reference(references_folder() / f"{name}.yaml")


def reference_table(address: str, references: Sequence[str] = ()) -> tuple[Reference, ReferenceTable]:
    """The table under `name.table` (`qlora.table3_glue`); raises UnknownName for either part, SuiteError for a file that is wrong.

    references: those of a suite as loaded; a path among them (`/work/references/mine.yaml`) is a file beside the shipped ones.
    """
    name, _, table = address.partition(".")
    own = {path.stem: path for path in map(Path, filter(is_path, references))}
    source = read_reference(own[name]) if name in own else reference(name)
    by_id = {found.id: found for found in source.tables}
    if table not in by_id:
        raise UnknownName(f"table of reference {name}", table, by_id)
    return source, by_id[table]


def read_reference(path: Path) -> Reference:
    """The reference of that file; raises SuiteError with every problem at its line."""
    root = read_yaml(path)
    problems: list[Problem] = []
    source = validated(Reference, root, root, (), problems)
    if source is not None:
        problems += _inconsistencies(source, root, path)
    if problems or source is None:
        raise SuiteError(sorted(problems, key=lambda each: (each.line or 0, each.column or 0)))
    return source


def _inconsistencies(source: Reference, root: MappingNode, path: Path) -> Iterator[Problem]:
    """What no single field can tell: a name that is not the file's, ids given twice, rows without a protocol."""
    if source.paper != path.stem:
        yield problem(root, ("paper",), f"is {source.paper!r}, but the file is named {path.stem}.yaml: references are found by the file's name")
    if source.arxiv is None and source.url is None:
        yield problem(root, (), "neither arxiv nor url says where the source is")
    yield from _given_twice(root, "tables", [table.id for table in source.tables])
    yield from _given_twice(root, "claims", [claim.id for claim in source.claims])
    for at, table in enumerate(source.tables):
        if table.protocol is not None and not table.protocol.strip():
            yield problem(root, ("tables", at, "protocol"), f"the protocol of table {table.id} is blank")
        for number, row in enumerate(table.rows):
            if not (row.protocol or table.protocol or "").strip():
                message = f"neither this row nor its table {table.id} has a protocol; say how the number was computed: without that it compares with nothing"
                yield problem(root, ("tables", at, "rows", number), message)


def _given_twice(root: MappingNode, section: str, ids: Sequence[str]) -> Iterator[Problem]:
    for at, name in enumerate(ids):
        if name in ids[:at]:
            yield problem(root, (section, at, "id"), f"the id {name} is already that of {section}[{ids.index(name)}]")
