"""Sweeps: `train.learning_rate: [1e-4, 3e-4]` turns every cell into one per value; also `scheme.<field>`, `method.<field>`, `task.<field>`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from harness.errors import Problem, nearest, shortened
from harness.fields import Config, OpenConfig
from harness.suite.entries import METHOD_AXIS, QUANTIZATION, TASK_AXIS, Axis
from harness.suite.nodes import KeyPath, MappingNode, Node, SequenceNode, as_node, key_text, problem
from harness.suite.places import resolved_places
from harness.suite.schema import Entry
from harness.suite.settings import TrainSettings
from harness.suite.training_arguments import decided_reason, installed_arguments
from harness.suite.validation import typed, validated
from harness.suite.yaml_nodes import described

C = TypeVar("C", bound=Config)
Sweep: TypeAlias = dict[str, list[Any]]
Swept: TypeAlias = Sequence[tuple[Axis[Any], Sequence[Entry[Any]]]]

#: The axes whose fields can be swept.
SWEPT_AXES: tuple[Axis[Any], ...] = (QUANTIZATION, METHOD_AXIS, TASK_AXIS)

MAX_VALUES = 1000  # of one sweep: each is checked against every entry that takes it

#: Training settings that also decide how an untuned model is evaluated.
EVALUATION_SETTINGS = ("max_length", "per_device_eval_batch_size")


@dataclass(frozen=True)
class Variant(Generic[C]):
    """An entry at one point of the swept fields of its own. index: of the entry on its axis; swept: sweep key -> value."""

    index: int
    entry: Entry[C]
    config: C
    swept: dict[str, Any]


def variants(axis: Axis[C], entries: Sequence[Entry[C]], sweep: Sweep) -> list[Variant[C]]:
    """Every entry once for each combination of the swept fields that its class has; as it is where it has none.

    Raises pydantic.ValidationError for a combination that the class refuses.
    """
    found = []
    for index, entry in enumerate(entries):
        fields = {f"{axis.kind}.{field}": field for field in sweepable_fields(entry.config, axis)}
        keys = [key for key in sweep if key in fields]
        given = entry.config.model_dump(exclude_unset=True)
        for point in points(sweep, keys):
            values = {fields[key]: value for key, value in point.items()}
            config = type(entry.config).model_validate(given | values) if values else entry.config
            found.append(Variant(index, entry, config, point))
    return found


def train_points(sweep: Sweep, tunes: bool) -> list[dict[str, Any]]:
    """Every combination of the swept training settings; for what does not tune, only of those that evaluation reads."""
    keys = [key for key in sweep if key.startswith("train.")]
    return points(sweep, [key for key in keys if tunes or key.removeprefix("train.") in EVALUATION_SETTINGS])


def points(sweep: Sweep, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Every combination of the values of those keys; one empty point for no keys."""
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*(sweep[key] for key in keys))]


def sweepable_fields(config: Config, axis: Axis[Any]) -> list[str]:
    """The fields of an entry that a sweep may set: all but its registered name, those of its library included."""
    further = config.further_fields(config.model_dump()) if isinstance(config, OpenConfig) else None
    return [*(field for field in type(config).model_fields if field != axis.kind), *(further or {})]


def read_sweep(root: MappingNode, entries: Sequence[Sequence[Entry[Any]]], problems: list[Problem]) -> Sweep:
    """The sweep, every value checked against every field it will be put into; what is wrong is appended to `problems`.

    entries: those of every axis of SWEPT_AXES, in that order.
    """
    having: Swept = list(zip(SWEPT_AXES, entries, strict=True))
    node = root.values.get("sweep")
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        problems.append(problem(root, ("sweep",), f"expected a mapping of keys to lists of values, found {described(node)}"))
        return {}
    sweep: Sweep = {}
    for key, values in node.values.items():
        path: KeyPath = ("sweep", key)
        targets = list(_targets(key, having))
        if not targets:
            problems.append(problem(root, path, _fits_nothing(key, having), key=True))
        elif not isinstance(values, SequenceNode):
            problems.append(problem(root, path, f"expected a list of values, found {described(values)}"))
        elif not values.items:
            problems.append(problem(root, path, "an empty axis: there is nothing to sweep; give at least one value", key=True))
        elif len(values.items) > MAX_VALUES:
            problems.append(problem(root, path, f"{len(values.items):,} values; a sweep has at most {MAX_VALUES:,}", key=True))
        else:
            sweep[key] = []
            for at, item in enumerate(values.items):
                value = _value(key, targets, item, root, (*path, at), problems)
                if value in sweep[key]:
                    problems.append(problem(root, (*path, at), f"the value {shortened(repr(value))} is given twice"))
                sweep[key].append(value)
    return sweep


@dataclass(frozen=True)
class _Target:
    """What has a swept field: a class, and what its entry gives beside it (nothing, for the training settings)."""

    cls: type[BaseModel]
    given: dict[str, Any]
    axis: Axis[Any] | None


def _targets(key: str, having: Swept) -> Iterator[_Target]:
    prefix, _, field = key.partition(".")
    if prefix == "train" and _is_train_name(field):
        yield _Target(TrainSettings, {}, None)
    for axis, entries in having:
        for entry in entries:
            if prefix == axis.kind and field in sweepable_fields(entry.config, axis):
                yield _Target(type(entry.config), entry.config.model_dump(mode="json", exclude_unset=True), axis)


def _value(key: str, targets: list[_Target], value: Node, root: MappingNode, path: KeyPath, problems: list[Problem]) -> Any:
    """The value as the fields take it."""
    field = key.partition(".")[2]
    found: list[Problem] = []
    for target in targets:
        given = as_node(target.given, value.place)
        assert isinstance(given, MappingNode)
        with_value = given.adding(field, value)
        if target.axis is not None:
            with_value = resolved_places(target.axis.places, with_value)
        validated(target.cls, with_value, root, path, found)
        declared = target.cls.model_fields.get(field)
        result = typed(with_value.values[field], declared.annotation if declared is not None else Any)
    problems += dict.fromkeys(replace(each, key=key_text(path)) for each in found)
    return result


def _is_train_name(name: str) -> bool:
    return name in TrainSettings.model_fields or (name in installed_arguments() and decided_reason(name) is None)


def _fits_nothing(key: str, having: Swept) -> str:
    prefix, _, field = key.partition(".")
    reason = decided_reason(field) if prefix == "train" else None
    if reason is not None:
        return f"decided by the harness: {reason}"
    names = dict.fromkeys((*TrainSettings.model_fields, *installed_arguments()))
    known = [f"train.{name}" for name in names if _is_train_name(name)]
    for axis, entries in having:
        known += [f"{axis.kind}.{name}" for entry in entries for name in sweepable_fields(entry.config, axis)]
    guess = nearest(key, known)
    hint = f"did you mean {guess}?" if guess else "a sweep is over train.<name>, scheme.<field>, method.<field> or task.<field>"
    return f"nothing in this suite has that field; {hint}"
