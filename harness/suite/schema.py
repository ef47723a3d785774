"""The suite, typed: every key of the contract but the fields of registered classes, which those declare themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar, get_args

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    InstanceOf,
    Tag,
    model_validator,
)

from harness.errors import Problem
from harness.fields import Config
from harness.methods.base import Method
from harness.models.base import ModelConfig
from harness.quantization.base import Scheme
from harness.records.parts import When
from harness.suite.evaluations import OWN, Evaluations
from harness.suite.gate import Gate
from harness.suite.ids import Name
from harness.suite.nodes import KeyPath, MappingNode, problem
from harness.suite.retries import Retries
from harness.suite.section import Section
from harness.suite.settings import LimitSettings, MeasureSettings, TrainSettings
from harness.tasks.base import Task

LABELS = ("model", "quantization", "method", "task", "seed")

C = TypeVar("C", bound=Config, covariant=True)
LONGEST_PATTERN = 500  # characters of a glob: matching a longer one takes the square of its length
Glob: TypeAlias = Annotated[str, Field(max_length=LONGEST_PATTERN)]
Scalar: TypeAlias = Glob | int | float | bool
Pattern: TypeAlias = Scalar | list[Scalar]
Comparison: TypeAlias = Literal["<", "<=", ">", ">=", "within", "ratio"]
Trend: TypeAlias = Literal["increases", "decreases", "plateaus", "crosses"]
Relation: TypeAlias = Comparison | Trend | Literal["best"]


class TableLayout(Section):
    """One table of the report."""

    rows: list[str] = Field(min_length=1, description="axes whose combinations are the rows: model, quantization, method, task, seed or a swept key")
    columns: list[str] = Field(default_factory=list, description="axes whose combinations are the columns")
    metric: str = Field(description="what the table shows: a metric (accuracy) or a quantity (memory.peak_vram)")
    where: dict[str, Pattern] = Field(default_factory=dict, description="only cells that match: axis -> glob on ids, or a list of which any may match")
    reference: str | None = Field(default=None, description="published numbers to put beside: <reference>.<table id>")
    title: str | None = Field(default=None, description="heading; by default what it shows by what")


class PlotLayout(Section):
    """One plot of the report."""

    kind: Literal["pareto"] = Field(default="pareto", description="pareto: one point per cell and the front of those not beaten")
    x: str = Field(description="quantity on the x axis")
    y: str = Field(description="metric on the y axis")
    title: str | None = Field(default=None, description="heading")


class ReportLayout(Section):
    """What the report shows beside its fixed parts."""

    tables: list[TableLayout] = Field(default_factory=list)
    plots: list[PlotLayout] = Field(default_factory=list)


class Measured(Section):
    """One side of a claim: a metric over the cells that `where` selects."""

    metric: str = Field(description="a metric or a quantity")
    where: dict[str, Pattern] = Field(default_factory=dict, description="axis -> glob on ids, or a list of which any may match")
    when: When | None = Field(default=None, description="which evaluation: before or after training, merged, merged-requantized; null: the final one")


class Given(Section):
    """A side of a claim that is a plain number."""

    value: float = Field(description="in the metric's stored unit")


def _number_is_given(side: Any) -> Any:
    return {"value": side} if isinstance(side, int | float) and not isinstance(side, bool) else side


def _kind_of_side(side: Any) -> str:
    return "given" if isinstance(side, Given) or (isinstance(side, dict) and "value" in side) else "measured"


Side: TypeAlias = Annotated[
    Annotated[Measured, Tag("measured")] | Annotated[Given, Tag("given")],
    Discriminator(_kind_of_side), BeforeValidator(_number_is_given),
]  # fmt: skip


class Claim(Section):
    """A statement on records that a machine can check: of two sides, of a trend over an axis, or of the best of a group."""

    id: Name = Field(description="name of the claim")
    source: str = Field(description="where it is claimed: paper and table")
    text: str | None = Field(default=None, description="the claim in words")
    left: Measured
    relation: Relation = Field(
        description="within: |left - right| <= margin; ratio: |left / right - factor| <= margin; increases, decreases, plateaus, crosses: over the axis `over`; "
        "best: no cell that `right` selects beats the left side by more than the margin"
    )
    right: Side | None = Field(default=None, description="another metric, or a plain number (value: 88.8); none for a trend of the left side alone")
    margin: float = Field(default=0.0, ge=0, description="<, >, increases, decreases, crosses: the least effect claimed; otherwise slack; in the unit that the report prints (shares in points of a hundred)")
    factor: float | None = Field(default=None, gt=0, description="for `ratio`: what left / right should be")
    over: str | None = Field(default=None, description="the axis of a trend: a swept key (train.learning_rate), an axis, or a field of a cell's part (method.r, task.max_train_samples)")
    since: float | None = Field(default=None, description="for `plateaus`: the value of the axis from which on nothing changes by more than the margin")
    allow: list[str] = Field(default_factory=list, description="fields that may differ between the sides although they confound (train.max_length), because the source lets them")

    @model_validator(mode="after")
    def _has_what_its_relation_needs(self) -> Claim:
        for field, relations in NEEDED.items():
            given, needed = getattr(self, field) is not None, self.relation in relations
            if given != needed:
                takes = f"relation {self.relation} {'needs' if needed else 'takes no'} `{field}`"
                raise ValueError(f"{takes}; {', '.join(sorted(relations))}: {MEANINGS[field]}")
        if self.relation in ("crosses", "best"):
            if not isinstance(self.right, Measured):
                raise ValueError(f"relation {self.relation} needs cells on its right side, not a number")
            if (self.right.metric, self.right.when) != (self.left.metric, self.left.when):
                raise ValueError(f"relation {self.relation} compares one number: both sides need the same `metric` and the same `when`")
        return self


_COMPARISONS, _TRENDS = frozenset(get_args(Comparison)), frozenset(get_args(Trend))
NEEDED: dict[str, frozenset[str]] = {
    "right": _COMPARISONS | {"crosses", "best"}, "factor": frozenset({"ratio"}), "over": _TRENDS, "since": frozenset({"plateaus"})
}  # fmt: skip
MEANINGS = {
    "right": "what the left side is compared with", "factor": "what left / right should be", "over": "the axis of the trend", "since": "where the plateau begins"
}  # fmt: skip


class Sections(Section):
    """All keys of a suite but its axes of registered classes, and the sweep."""

    name: Name = Field(description="name of the suite and of its folder under results/")
    title: str | None = Field(default=None, description="heading of the report")
    description: str | None = Field(default=None, description="what the comparison is about, shown under the title")
    references: list[str] = Field(default_factory=list, description="published numbers: names of suites/references/<name>.yaml, or paths of such files (*.yaml) relative to this one")
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(default_factory=lambda: [0], min_length=1, description="one cell per seed")
    deterministic: bool = Field(
        default=False, description="every run of a cell on this machine gives the same bits: torch's deterministic algorithms only; an operation without one makes the cell unsupported"
    )
    train: TrainSettings = Field(default_factory=TrainSettings)
    measure: MeasureSettings = Field(default_factory=MeasureSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    retries: Retries = Field(default_factory=Retries, description="how often a cell without a result is tried again in one run, by its outcome")
    exclude: list[dict[str, Pattern]] = Field(
        default_factory=list, max_length=1000, description="cells to leave out: axis -> glob on ids, or a list of which any may match; all keys must match"
    )
    report: ReportLayout = Field(default_factory=ReportLayout)
    claims: list[Claim] = Field(default_factory=list)
    gate: Gate = Field(default_factory=Gate, description="when `harness compare` calls a run of this suite worse than a baseline")


@dataclass(frozen=True)
class Entry(Generic[C]):
    """One value of an axis. train: the training settings that this entry lays over the suite's (only what it gives).
    evaluations: of a task, what is evaluated."""

    id: str
    config: C
    train: TrainSettings
    evaluations: Evaluations = OWN


class Suite(Sections):
    """A suite that was read, checked and resolved: every name known, every path absolute, one profile applied."""

    models: list[InstanceOf[Entry[ModelConfig]]]
    quantization: list[InstanceOf[Entry[Scheme]]]
    methods: list[InstanceOf[Entry[Method]]]
    tasks: list[InstanceOf[Entry[Task]]]
    sweep: dict[str, list[Any]] = Field(default_factory=dict)
    profile: str | None = None
    file: Path
    source: InstanceOf[MappingNode] = Field(repr=False)

    def problem(self, path: KeyPath, message: str, *, key: bool = False) -> Problem:
        """The Problem at that key path of the suite file: `("tasks", 1)`."""
        return problem(self.source, path, message, key=key)
