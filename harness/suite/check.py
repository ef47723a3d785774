"""What a suite needs from the disk: models' facts, data files, and every swept configuration. Asked once per entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.errors import Problem, RequestError, SuiteError
from harness.fields import Config
from harness.methods.base import Method
from harness.models.base import ModelConfig
from harness.models.facts import read_facts
from harness.needs import ModelFacts
from harness.quantization.base import Scheme, StoredScheme
from harness.suite.entries import METHOD_AXIS, QUANTIZATION, TASK_AXIS, Axis
from harness.suite.evaluations import Evaluations
from harness.suite.identity import Identities
from harness.suite.nodes import KeyPath
from harness.suite.schema import Entry, Suite
from harness.suite.sweep import Variant, variants
from harness.tasks.base import Task

C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Checked:
    """facts: of every model, in the order of the axis (None: not downloaded yet)."""

    facts: list[ModelFacts | None]
    schemes: list[Variant[Scheme]]
    methods: list[Variant[Method]]
    tasks: list[Variant[Task]]


def check(suite: Suite, identities: Identities) -> Checked:
    """Everything that the cells are made of; raises SuiteError with all that cannot be used."""
    problems: list[Problem] = []
    facts = [_facts(suite, index, entry.config, identities, problems) for index, entry in enumerate(suite.models)]
    schemes = _variants(suite, QUANTIZATION, suite.quantization, problems)
    methods = _variants(suite, METHOD_AXIS, suite.methods, problems)
    tasks = _variants(suite, TASK_AXIS, suite.tasks, problems)
    for scheme in schemes:
        try:
            identities.text(scheme.config)
        except RequestError as error:
            problems.append(suite.problem(_written_at(scheme), str(error)))
    for variant in tasks:
        for _, task in Evaluations(others=variant.entry.evaluations.others).of(variant.config):
            try:
                task.check_data()
                identities.text(task)
            except RequestError as error:
                problems.append(suite.problem(("tasks", variant.index), str(error)))
    if problems:
        raise SuiteError(list(dict.fromkeys(problems)))
    return Checked(facts, schemes, methods, tasks)


def _written_at(scheme: Variant[Scheme]) -> KeyPath:
    """Where a scheme's local files are named: its calibration, where it has one."""
    calibrated = isinstance(scheme.config, StoredScheme) and scheme.config.calibrated_on is not None
    return ("quantization", scheme.index, "calibration") if calibrated else ("quantization", scheme.index)


def _facts(
    suite: Suite, index: int, config: ModelConfig, identities: Identities, problems: list[Problem]
) -> ModelFacts | None:
    try:
        facts = read_facts(config)
        identities.text(config)
    except RequestError as error:
        problems.append(suite.problem(("models", index), str(error)))
        return None
    return facts


def _variants(suite: Suite, axis: Axis[C], entries: Sequence[Entry[C]], problems: list[Problem]) -> list[Variant[C]]:
    try:
        return variants(axis, entries, suite.sweep)
    except ValidationError as error:
        reasons: list[Any] = [detail["msg"] for detail in error.errors(include_url=False)]
        problems.append(suite.problem(("sweep",), f"two swept values do not go together: {'; '.join(reasons)}"))
        return []
