"""A cell: one point of the cross, fully resolved, on its way from the plan to a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.fields import Config
from harness.methods.base import Method
from harness.methods.budget import Chosen
from harness.models.base import ModelConfig
from harness.needs import ModelFacts
from harness.quantization.base import Scheme
from harness.records.schema import CellPart
from harness.suite.evaluations import OWN, Evaluations
from harness.suite.settings import LimitSettings, MeasureSettings, TrainSettings
from harness.tasks.base import Task


@dataclass(frozen=True)
class CellConfig:
    """Everything that a cell needs to run; the schemes', methods' and tasks' classes are the registered ones."""

    model: ModelConfig
    scheme: Scheme
    method: Method
    task: Task
    train: TrainSettings
    measure: MeasureSettings
    limits: LimitSettings
    evaluations: Evaluations = OWN
    deterministic: bool = False

    @property
    def evaluated(self) -> list[tuple[str | None, Task]]:
        """(label, task) of all that the cell is evaluated on; its own task has no label."""
        return list(self.evaluations.of(self.task))

    def to_json(self) -> dict[str, Any]:
        """All fields, as the record keeps them."""
        parts = {name: part for name in self.__dataclass_fields__ if isinstance(part := getattr(self, name), Config)}
        values = {name: part.model_dump(mode="json") for name, part in parts.items()}
        return values | {"determinism": {"deterministic": self.deterministic}}


@dataclass(frozen=True)
class Labels:
    """A cell's place on every axis: the ids that the suite's author gave. Not part of the identity."""

    model: str
    quantization: str
    method: str
    task: str
    seed: int
    sweep: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        swept = [f"{key.removeprefix('train.')}={value}" for key, value in self.sweep.items()]
        return " / ".join([self.model, self.quantization, self.method, self.task, f"seed {self.seed}", *swept])


@dataclass(frozen=True)
class Cell:
    """One cell of a plan.

    untuned_ids: ids of the evaluations before training, in the order of config.evaluated: each the same for all cells that
    share it (model, scheme, task evaluated, and the seed where the head is random). chosen: the size that the method's budget chooses here. unsupported: the reason why it cannot run here, None when it can.
    """

    id: str
    suite: str
    profile: str | None
    labels: Labels
    config: CellConfig
    untuned_ids: tuple[str, ...]
    model_facts: ModelFacts | None = None
    chosen: Chosen | None = None
    unsupported: str | None = None

    def record_part(self) -> CellPart:
        """What the cell's record says of it."""
        labels = self.labels
        return CellPart(
            id=self.id, suite=self.suite, profile=self.profile, model=labels.model, quantization=labels.quantization,
            method=labels.method, task=labels.task, seed=labels.seed, sweep=dict(labels.sweep), config=self.config.to_json(),
        )
