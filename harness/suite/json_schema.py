"""JSON Schema of a suite file: the sections, and every registered method, scheme and task with its fields."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from harness.fields import Config, OpenConfig
from harness.suite.entries import AXES, SOURCES, TASK_AXIS, Axis
from harness.suite.ids import MAX_LENGTH
from harness.suite.schema import Sections
from harness.suite.settings import TrainSettings

_REFERENCE = "#/$defs/{model}"

#: What only the entry of a task has: other tasks, which in turn list none.
_EVALUATIONS = {
    "evaluate": {"type": "array", "minItems": 1, "items": {"$ref": _REFERENCE.format(model="task")}, "description": "tasks evaluated in this one's place"},
    "also": {"type": "array", "minItems": 1, "items": {"$ref": _REFERENCE.format(model="task")}, "description": "tasks evaluated beside this one, before training and after it"},
}  # fmt: skip


def suite_schema() -> dict[str, Any]:
    """The schema (draft 2020-12). Names of third parties that are installed here are in it."""
    definitions: dict[str, Any] = {}
    schema = _described(Sections, definitions)
    train = _described(TrainSettings, definitions)
    train_reference = {"$ref": _REFERENCE.format(model="TrainSettings")}
    definitions["TrainSettings"] = train
    for axis in AXES:
        items = _entry_schema(axis, definitions, train_reference)
        if axis is TASK_AXIS:  # which a task's entry refers to
            definitions["task"], items = items, {"$ref": _REFERENCE.format(model="task")}
        schema["properties"][axis.key] = {"type": "array", "minItems": 1, "items": items}
    schema["properties"] |= {
        "sweep": {
            "type": "object",
            "description": "further axes: train.<name>, method.<field> or task.<field>",
            "additionalProperties": {"type": "array", "minItems": 1},
        },
        "defaults": {"type": "array", "items": {"type": "string"}, "description": "YAML files merged in order under this one"},
        "profiles": {"type": "object", "additionalProperties": {"type": "object"}, "description": "laid over the suite by --profile"},
    }
    required = [*schema.get("required", []), *(axis.key for axis in AXES if axis.default is None)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", **schema,
        "title": "harness suite", "required": required, "$defs": definitions,
    }  # fmt: skip


def _entry_schema(axis: Axis[Any], definitions: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    """A name alone, or a mapping with the fields of the class of that name."""
    beside = {"id": {"type": "string", "maxLength": MAX_LENGTH}, "train": train}
    if axis is TASK_AXIS:
        beside |= _EVALUATIONS
    if axis.registry is None:
        pattern = f"^({'|'.join(SOURCES)})."
        model = _entry_definition(axis, axis.base, {axis.kind: {"type": "string", "pattern": pattern}} | beside, definitions)
        return {"anyOf": [{"type": "string", "pattern": pattern}, model]}
    by_class: dict[type[Config], list[str]] = {}
    for name, cls in axis.registry.items():
        by_class.setdefault(cls, []).append(name)
    mappings = [_entry_definition(axis, cls, {axis.kind: _named(names)} | beside, definitions) for cls, names in by_class.items()]
    return {"anyOf": [_named(axis.registry.names()), *mappings]}


def _named(names: list[str]) -> dict[str, Any]:
    """One of the registered names, or what begins with one that stands for many (`lm-eval:*`)."""
    arms: list[dict[str, Any]] = [{"type": "string", "pattern": f"^{name.removesuffix('*')}."} for name in names if name.endswith(":*")]
    whole = [name for name in names if not name.endswith(":*")]
    arms += [{"enum": whole}] if whole else []
    return arms[0] if len(arms) == 1 else {"anyOf": arms}


def _entry_definition(
    axis: Axis[Any], cls: type[Config], replaced: dict[str, Any], definitions: dict[str, Any]
) -> dict[str, Any]:
    schema = _described(cls, definitions)
    name = f"{axis.kind}-{cls.__name__}"  # a method and a scheme may have classes of one name
    definitions[name] = schema | {
        "properties": schema["properties"] | replaced,
        "required": [name for name in schema.get("required", []) if name not in replaced],
    }
    return {"$ref": _REFERENCE.format(model=name)}


def _described(cls: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """The class' own schema, its library's fields included; those that it refers to go to `definitions`."""
    schema = cls.model_json_schema(ref_template=_REFERENCE)
    definitions |= schema.pop("$defs", {})
    further = cls.further_fields({}) if issubclass(cls, OpenConfig) else None
    if further is not None:
        schema["properties"] |= {name: declared.json_schema() for name, declared in further.items()}
        schema["additionalProperties"] = False
    return schema
