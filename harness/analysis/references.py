"""Published numbers: what a row of a reference file says, and which of them belong beside which cells.

A reference row belongs to a cell when every one of its fields model, scheme, method and task that it states
agrees with the cell's configuration (a field it does not state says nothing):

    model    the cell's model id, or the last part of its source (`hub:FacebookAI/roberta-large` ->
             `roberta-large`), upper and lower case alike
    scheme   what papers call the cell's scheme (harness.analysis.scheme_names)
    method   the registered name of the cell's method
    task     the registered name of the cell's task, or of what is evaluated in its place

and when the cell's data are the task's own (never `micro`). A number of a metric stands beside that metric and
its variants (`accuracy` beside `accuracy_macro`: the protocol below the table says which mean it is). Ids are labels that an author
chose freely, so they don't count, the model's excepted. What else a row states is shown with its value, and must agree with the cell
where the cell says it too: fields of the method (`r`, `use_dora`), of the scheme (`sym`; of one that keeps channels in 16 bit which and how
many; `calibration` and `calibration_samples`) and of training (`max_length`), `budget_percent`, `train_samples`, `num_gpus`, and `train`, the task that
it is trained on. `part` and `when` place a number at one address of its metric (`part: b1-p128`, `when: merged`): it stands beside no
other. The files are read by harness.analysis.reference_files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.analysis.columns import Row
from harness.analysis.printed_metrics import metric_trouble
from harness.analysis.scheme_names import scheme_names, scheme_states
from harness.quantities import QUANTITIES, quantity
from harness.records.parts import When

PLACING = ("model", "scheme", "method", "task")
UNVERIFIED_MARK = "†"
UNVERIFIED_NOTE = "written down from knowledge of the source, not yet checked against it"


class _Placed(BaseModel):
    """What places a number of a source; further fields say what else does.

    protocol: where it is not the table's. verified: seen in a stored copy of the source, or computed from its files.
    """

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    verified: bool
    model: str | None = None
    scheme: str | None = None
    method: str | None = None
    task: str | None = None
    part: str | None = None
    when: When | None = None
    protocol: str | None = Field(default=None, min_length=1)


class ReferenceRow(_Placed):
    """One published number, as the source prints it. shares_of_one: as `ReferenceTable` says."""

    metric: str
    value: float
    shares_of_one: bool = False

    def at(self, key: str) -> bool:
        """Whether it is a number of that address: of its metric or a variant of it, and of the part and form that it states."""
        name, *rest = key.split(":")
        same = name == self.metric or name.startswith(f"{self.metric}_")
        return same and self.part in (None, *rest) and self.when in (None, *rest)

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

    @property
    def stored(self) -> float | None:
        """The value in the unit in which records store its metric (shares of one); None for a metric that no record has."""
        quantity = QUANTITIES.get(self.metric)
        if quantity is None:
            return None
        return self.value if self.shares_of_one else self.value / quantity.points

    def show(self) -> str:
        """The value with what else places it and a mark where it is not verified: `39† (train=alpaca)`."""
        text = self._printed() + ("" if self.verified else UNVERIFIED_MARK)
        further = ", ".join(f"{key}={value}" for key, value in (self.model_extra or {}).items())
        return f"{text} ({further})" if further else text

    def _printed(self) -> str:
        """As the source prints it, but bytes readably and shares in points of a hundred, as our own numbers beside it are."""
        quantity = QUANTITIES.get(self.metric)
        if quantity is not None and quantity.style == "bytes":
            return quantity.show(self.value)
        points = quantity.points if quantity is not None and self.shares_of_one else 1.0
        return f"{self.value * points:.10g}"


class PrintedRow(_Placed):
    """A row of a file: one number (metric, value), or several of one measurement (values: metric -> number)."""

    metric: str | None = None
    value: float | None = None
    values: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_numbers_of_known_metrics(self) -> PrintedRow:
        if (self.metric is None) != (self.value is None) or (self.metric is None) == (not self.values):
            raise ValueError("a row has either metric and value, or values (metric -> number)")
        for name in self.printed:
            if (trouble := metric_trouble(name)) is not None:
                raise ValueError(trouble)
        return self

    @property
    def printed(self) -> dict[str, float]:
        """Metric -> number."""
        return self.values if self.metric is None or self.value is None else {self.metric: self.value}


class ReferenceTable(BaseModel):
    """A table of a source.

    protocol: how its numbers were computed, in the source's words; None where every row has its own.
    shares_of_one: whether it prints shares (accuracy ...) as 0.48 and not, as papers do, in points of a hundred.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    caption: str
    protocol: str | None = Field(default=None, min_length=1)
    shares_of_one: bool = False
    rows: list[PrintedRow] = Field(min_length=1)

    @cached_property
    def numbers(self) -> list[ReferenceRow]:
        """Every number of its rows, with the protocol that holds for it."""
        return [
            ReferenceRow(**shared | {"protocol": row.protocol or self.protocol, "metric": metric, "value": value, "shares_of_one": self.shares_of_one})
            for row in self.rows
            for shared in [row.model_dump(exclude={"metric", "value", "values"})]
            for metric, value in row.printed.items()
        ]


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
    """What else of a cell a published number may name, and then must agree with."""
    config = row.record.cell.config
    return {
        **config.get("train", {}),
        **config.get("scheme", {}),
        **config.get("method", {}),
        **scheme_states(row),
        "train": row.config("task", "task"),
        "budget_percent": (row.config("method", "budget") or {}).get("percent"),
        "train_samples": row.config("task", "max_train_samples") or "all",
        "num_gpus": 1,  # a cell is trained on one
    }


def fitting(table: ReferenceTable, key: str, rows: Sequence[Row], family: str | None = None) -> Iterator[ReferenceRow]:
    """The reference rows of that address that belong to any of the cells; family as in `ReferenceRow.fits`."""
    for found in table.numbers:
        if (found.at(key) or _is_mean_score(found, key, family)) and any(found.fits(row, family) for row in rows):
            yield found


def _is_mean_score(found: ReferenceRow, key: str, family: str | None) -> bool:
    """Whether it is a mean over a family's tasks of each one's own metric: it stands beside every score of such a task, as none is it alone."""
    return family is not None and found.metric == "score" and quantity(key).quality
