"""A suite's text as a tree that knows where everything was written: file, line and column of every key and value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from harness.errors import Problem

KeyPath: TypeAlias = tuple[str | int, ...]
ScalarValue: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Place:
    """Where something was written; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class ScalarNode:
    """A single value. text: as it was written, which is what a field of type str gets of a number."""

    place: Place
    text: str
    value: ScalarValue


@dataclass(frozen=True)
class SequenceNode:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True)
class MappingNode:
    """A mapping; keys are always text, as they were written. key_places: where each key stands."""

    place: Place
    values: dict[str, Node]
    key_places: dict[str, Place]

    def without(self, *keys: str) -> MappingNode:
        """This mapping less those keys."""
        kept = {key: value for key, value in self.values.items() if key not in keys}
        return MappingNode(self.place, kept, self.key_places)

    def adding(self, key: str, value: Node) -> MappingNode:
        """This mapping with `key` set, at the place it has or the value's."""
        places = self.key_places if key in self.key_places else self.key_places | {key: value.place}
        return MappingNode(self.place, self.values | {key: value}, places)


Node: TypeAlias = ScalarNode | SequenceNode | MappingNode


def text_node(text: str, place: Place) -> ScalarNode:
    """A text value at that place."""
    return ScalarNode(place, text, text)


def as_node(value: Any, place: Place) -> Node:
    """Dicts, lists and scalars as a tree, all at one place: the inverse of `plain`."""
    if isinstance(value, dict):
        return MappingNode(place, {key: as_node(each, place) for key, each in value.items()}, {})
    if isinstance(value, list | tuple):
        return SequenceNode(place, tuple(as_node(item, place) for item in value))
    return ScalarNode(place, str(value), value)


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars."""
    if isinstance(node, MappingNode):
        return {key: plain(value) for key, value in node.values.items()}
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node.items]
    return node.value


def merge(under: Node, over: Node) -> Node:
    """`over` laid upon `under`: mappings merge key by key, anything else is replaced."""
    if not (isinstance(under, MappingNode) and isinstance(over, MappingNode)):
        return over
    values = dict(under.values)
    for key, value in over.values.items():
        values[key] = merge(values[key], value) if key in values else value
    return MappingNode(over.place, values, under.key_places | over.key_places)


def child(node: Node, step: str | int) -> Node | None:
    """The value under that key or index, None where there is none."""
    if isinstance(node, MappingNode):
        return node.values.get(str(step)) if isinstance(step, str) else None
    if isinstance(node, SequenceNode) and isinstance(step, int):
        return node.items[step] if step < len(node.items) else None
    return None


def existing(root: Node, path: KeyPath) -> KeyPath:
    """`path` without the steps that the tree does not have (pydantic puts names of union branches between)."""
    node, kept = root, []
    for step in path:
        below = child(node, step)
        if below is not None:
            node = below
            kept.append(step)
    return tuple(kept)


def place_of(root: Node, path: KeyPath, *, key: bool = False) -> Place:
    """Where the value at `path` stands (with `key`, where its key stands), or its nearest ancestor that exists."""
    node, place = root, root.place
    for index, step in enumerate(path):
        if key and index == len(path) - 1 and isinstance(node, MappingNode) and step in node.key_places:
            return node.key_places[str(step)]
        below = child(node, step)
        if below is None:
            return place
        node, place = below, below.place
    return place


def key_text(path: KeyPath) -> str | None:
    """`methods[1].lora_alpha`, or None for the whole file."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).removeprefix(".") or None


def problem(root: Node, path: KeyPath, message: str, *, key: bool = False) -> Problem:
    """The Problem at that path of the tree; with `key`, at the key itself instead of its value."""
    place = place_of(root, path, key=key)
    return Problem(message, place.file, place.line, place.column, key_text(path))
