"""Published numbers (suites/references/*.yaml), and which of them belong beside which cells.

A reference row belongs to a cell when every one of its fields model, scheme, method and task that it states
agrees with the cell's configuration (a field it does not state says nothing):

    model    the cell's model id, or the last part of its source (`hub:FacebookAI/roberta-large` ->
             `roberta-large`), upper and lower case alike
    scheme   what papers call the cell's scheme (harness.analysis.scheme_names)
    method   the registered name of the cell's method
    task     the registered name of the cell's task, or of what is evaluated in its place

and when the cell's data are the task's own (never `micro`). A number of a metric stands beside that metric and
its variants (`accuracy` beside `accuracy_macro`: the protocol below the table says which mean it is). Ids are labels that an author chose freely, so
they don't count, the model's excepted. Values are as the source prints them. What else a row states is shown with its value, and must
agree with the cell where the cell says it too: a field of the method (`r`, `use_dora`), of a scheme that keeps channels in 16 bit which
and how many, and `train` where the cell is trained on another task than it is evaluated on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from harness.analysis.columns import Row
from harness.analysis.scheme_names import scheme_names, scheme_states
from harness.errors import DataError, UnknownName
from harness.suite.find import shipped_suites

PLACING = ("model", "scheme", "method", "task")
UNVERIFIED_MARK = "†"
UNVERIFIED_NOTE = "written down from knowledge of the source, not yet checked against it"


class ReferenceRow(BaseModel):
    """One published number, as the source prints it; further fields say what else places it."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    metric: str
    value: float
    verified: bool
    model: str | None = None
    scheme: str | None = None
    method: str | None = None
    task: str | None = None

    def fits(self, row: Row, family: str | None = None) -> bool:
        """Whether the number belongs beside that cell, by the rules above.

        family: `glue/mean` asks for the source's mean over a family of tasks beside one task of that family.
        """
        names = dict(placing_names(row))
        if family is not None:
            belongs = any(name.partition("/")[0] == family.partition("/")[0] for name in names["task"])
            names["task"] = {family} if belongs else set()
        stated = {field: getattr(self, field) for field in PLACING if getattr(self, field) is not None}
        if row.config("task", "data") == "micro" or (family is not None and self.task != family):
            return False
        further = {name: value for name, value in _states(row).items() if name in (self.model_extra or {})}
        return all(value.casefold() in names[field] for field, value in stated.items()) and all(
            (self.model_extra or {})[name] == value for name, value in further.items()
        )

    def show(self) -> str:
        """The value with what else places it and a mark where it is not verified: `39† (train=alpaca)`."""
        text = f"{self.value:.10g}" + ("" if self.verified else UNVERIFIED_MARK)
        further = ", ".join(f"{key}={value}" for key, value in (self.model_extra or {}).items())
        return f"{text} ({further})" if further else text


class ReferenceTable(BaseModel):
    """A table of a source. protocol: how its numbers were computed, in the source's words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    caption: str
    protocol: str
    rows: list[ReferenceRow]


class ReferenceClaim(BaseModel):
    """A statement of a source, in words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: str
    text: str


class Reference(BaseModel):
    """One source: a paper (arxiv) or a page (url)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paper: str
    title: str
    arxiv: str | None = None
    url: str | None = None
    year: int
    tables: list[ReferenceTable]
    claims: list[ReferenceClaim] = []

    @property
    def citation(self) -> str:
        """Title, year and where to find it."""
        where = f"arXiv {self.arxiv}" if self.arxiv else self.url
        return f"{self.title} ({', '.join(str(part) for part in (self.year, where) if part)})"


def placing_names(row: Row) -> Mapping[str, set[str]]:
    """Under which names a cell is known on every placing field, in lower case."""
    source = str(row.config("model", "source") or "").partition(":")[2]
    return {
        "model": {row.record.cell.model.casefold(), source.rstrip("/").rpartition("/")[2].casefold()},
        "scheme": scheme_names(row),
        "method": {str(row.config("method", "method") or "").casefold()},
        "task": {name.casefold() for name in _evaluated(row)},
    }


def _evaluated(row: Row) -> Iterator[str]:
    """What the cell's plain metrics are of: its own task, or what is evaluated in its place."""
    evaluations = row.record.cell.config.get("evaluations") or {}
    if evaluations.get("own", True):
        yield str(row.config("task", "task") or "")
    for other in evaluations.get("others", ()):
        if not other["beside"] and other["task"].get("data") != "micro":
            yield str(other["task"]["task"])


def _states(row: Row) -> dict[str, Any]:
    """What else of a cell a published number may name, and then must agree with: fields of the method and the scheme, and what
    the model was trained on where that is not what is evaluated."""
    own = (row.record.cell.config.get("evaluations") or {}).get("own", True)
    trained = {} if own else {"train": row.config("task", "task")}
    return {**row.record.cell.config.get("method", {}), **scheme_states(row), **trained}


def references_folder() -> Path:
    """Where the reference files are, in a repository and in an installed wheel."""
    return shipped_suites() / "references"


def reference_names() -> list[str]:
    """The names of all reference files, sorted."""
    return sorted(path.stem for path in references_folder().glob("*.yaml"))


@lru_cache
def reference(name: str) -> Reference:
    """The reference of that name; raises UnknownName, and DataError for a file that is not of this form."""
    if name not in reference_names():
        raise UnknownName("reference", name, reference_names())
    path = references_folder() / f"{name}.yaml"
    try:
        return Reference.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise DataError(f"{path} is not a reference file: {error}") from error


def reference_table(address: str) -> tuple[Reference, ReferenceTable]:
    """The table under `name.table` (`qlora.table3_glue`); raises UnknownName for either part."""
    name, _, table = address.partition(".")
    source = reference(name)
    by_id = {found.id: found for found in source.tables}
    if table not in by_id:
        raise UnknownName(f"table of reference {name}", table, by_id)
    return source, by_id[table]


def fitting(table: ReferenceTable, metric: str, rows: Sequence[Row], family: str | None = None) -> Iterator[ReferenceRow]:
    """The reference rows of that metric that belong to any of the cells; family as in `ReferenceRow.fits`."""
    for found in table.rows:
        same = metric == found.metric or metric.startswith(f"{found.metric}_")
        if same and any(found.fits(row, family) for row in rows):
            yield found
