"""From nodes to validated models: types come from the schema, and every error goes back to the line it was written on."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from harness.errors import Problem, nearest
from harness.fields import FURTHER_FIELD, OpenConfig
from harness.suite.nodes import (
    KeyPath,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    child,
    existing,
    plain,
    problem,
)
from harness.suite.yaml_nodes import described

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "string_type": "text", "int_type": "an integer", "int_from_float": "an integer", "int_parsing": "an integer",
    "float_type": "a number", "float_parsing": "a number", "bool_type": "true or false", "bool_parsing": "true or false",
    "list_type": "a list", "tuple_type": "a list", "set_type": "a list", "dict_type": "a mapping",
    "model_type": "a mapping", "model_attributes_type": "a mapping", "none_required": "null", "finite_number": "a finite number",
}  # fmt: skip
_LIMITS = {
    "greater_than": ("gt", "more than"), "greater_than_equal": ("ge", "at least"), "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"), "multiple_of": ("multiple_of", "a multiple of"),
}  # fmt: skip


def validated(
    cls: type[M], node: Node, root: Node, path: KeyPath, problems: list[Problem], also_known: Sequence[str] = ()
) -> M | None:
    """`node` (which stands at `path` of `root`) as a `cls`; or None, with every reason appended to `problems`.

    also_known: further keys that the person could have meant. Strict: no text becomes a number or a boolean.
    """
    found: list[Problem] = []
    instance = None
    try:
        instance = cls.model_validate_json(json.dumps(typed(node, cls)), strict=True)
    except ValidationError as error:
        found = _problems(error, cls, node, root, path, also_known)
    for below, open_cls, section in _open_sections(cls, node):
        given = {key: plain(value) for key, value in section.values.items()}
        for name, message in open_cls.further_problems(given, () if below else also_known).items():
            found.append(problem(root, (*path, *below, name), message, key=True))
    problems += found
    return None if found else instance


def _open_sections(cls: type[BaseModel], node: Node) -> Iterator[tuple[KeyPath, type[OpenConfig], MappingNode]]:
    """Sections at or below `node` with further fields: their own check of these is not reached when a declared field is wrong."""
    if not isinstance(node, MappingNode):
        return
    if issubclass(cls, OpenConfig):
        yield (), cls, node
    for name, field in cls.model_fields.items():
        model = _model(field.annotation)
        if model is not None and name in node.values:
            yield from (((name, *below), found, section) for below, found, section in _open_sections(model, node.values[name]))


def typed(node: Node, annotation: Any) -> Any:
    """The tree as plain values, where a number in a field of type str is the text that was written."""
    if isinstance(node, ScalarNode):
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return node.text if number and _wants_text(annotation) else node.value
    if isinstance(node, SequenceNode):
        item = next((_item(arm) for arm in _arms(annotation) if get_origin(arm) in (list, tuple, set, frozenset)), Any)
        return [typed(each, item) for each in node.items]
    model = _model(annotation)
    if model is not None:
        fields = model.model_fields
        return {key: typed(value, fields[key].annotation if key in fields else Any) for key, value in node.values.items()}
    value_type = next((get_args(arm)[1] for arm in _arms(annotation) if get_origin(arm) is dict), Any)
    return {key: typed(value, value_type) for key, value in node.values.items()}


def _arms(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union, the annotation itself where it is none; Annotated is looked through."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _arms(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return tuple(arm for part in get_args(annotation) for arm in _arms(part))
    return (annotation,)


def _item(sequence: Any) -> Any:
    arguments = get_args(sequence)
    return arguments[0] if arguments else Any


def _wants_text(annotation: Any) -> bool:
    arms = _arms(annotation)
    if any(arm in (int, float, Any) for arm in arms):
        return False
    return any(arm is str or (get_origin(arm) is Literal and isinstance(get_args(arm)[0], str)) for arm in arms)


def _model(annotation: Any) -> type[BaseModel] | None:
    for arm in _arms(annotation):
        if isinstance(arm, type) and issubclass(arm, BaseModel):
            return arm
    return None


def _problems(
    error: ValidationError, cls: type[BaseModel], node: Node, root: Node, path: KeyPath, also_known: Sequence[str]
) -> list[Problem]:
    """One Problem per place: what several arms of a union expected there is said together."""
    collected: list[Problem] = []
    expected: dict[KeyPath, list[str]] = {}
    for detail in error.errors(include_url=False):
        location: KeyPath = detail["loc"]
        kind, context = detail["type"], detail.get("ctx", {})
        if kind == FURTHER_FIELD:
            continue
        if kind == "extra_forbidden":
            known = [*_fields(cls, location[:-1]), *(also_known if len(location) == 1 else ())]
            message = unknown_key(str(location[-1]), known)
            collected.append(problem(root, path + existing(node, location), message, key=True))
        elif kind == "missing":
            at = existing(node, location[:-1])
            collected.append(problem(root, path + at, f"the key {location[-1]} is missing"))
        else:
            wanted = _expectation(kind, context)
            at = existing(node, location)
            if wanted is None:
                collected.append(problem(root, path + at, _sentence(str(detail["msg"]))))
            else:
                expected.setdefault(at, []).append(wanted)
    for at, words in expected.items():
        value = _value_at(node, at)
        found = f"expected {' or '.join(dict.fromkeys(words))}, found {described(value)}"
        collected.append(problem(root, path + at, found + _literal_hint(error, value)))
    return collected


def unknown_key(name: str, known: Sequence[str]) -> str:
    """`unknown key; did you mean ...?`, or the keys that are known where none is near."""
    guess = nearest(name, known)
    return f"unknown key; did you mean {guess}?" if guess else f"unknown key; known: {', '.join(sorted(known))}"


def _expectation(kind: str, context: Mapping[str, Any]) -> str | None:
    """What was expected, in words; None where only pydantic's or the validator's own sentence says it."""
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"{words} {context[key]}"
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind == "too_short":
        return f"at least {context['min_length']} value(s)"
    if kind == "too_long":
        return f"at most {context['max_length']:,} value(s)"
    if kind == "string_too_long":
        return f"text of at most {context['max_length']:,} characters"
    return None


def _literal_hint(error: ValidationError, value: Node) -> str:
    choices = [
        choice.strip(" '")
        for detail in error.errors(include_url=False)
        if detail["type"] == "literal_error" and detail["input"] == plain(value)
        for choice in str(detail.get("ctx", {})["expected"]).replace(" or ", ", ").split(",")
    ]
    guess = nearest(value.text, choices) if isinstance(value, ScalarNode) else None
    return f"; did you mean {guess}?" if guess else ""


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _value_at(node: Node, path: KeyPath) -> Node:
    for step in path:
        node = child(node, step) or node
    return node


def _fields(cls: type[BaseModel], location: KeyPath) -> list[str]:
    """The field names of the model at that location below `cls`; steps into lists and union branches are skipped."""
    annotation: Any = cls
    for step in location:
        model = _model(annotation)
        if model is not None and step in model.model_fields:
            annotation = model.model_fields[str(step)].annotation
        elif isinstance(step, int):
            annotation = next((_item(arm) for arm in _arms(annotation) if get_args(arm)), annotation)
    model = _model(annotation)
    return list(model.model_fields) if model is not None else []
