"""The entries of the axes: `lora`, `{id: lora-r8, method: lora, r: 8}` or `hub:owner/name` to validated configuration."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.errors import Problem, UnknownName
from harness.fields import Config
from harness.methods.base import METHODS, Method
from harness.models.base import ModelConfig
from harness.quantization.base import SCHEMES, Scheme
from harness.registry import Registry
from harness.suite.ids import id_trouble
from harness.suite.nodes import (
    KeyPath,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    place_of,
    problem,
    text_node,
)
from harness.suite.schema import Entry
from harness.suite.settings import TrainSettings
from harness.suite.validation import validated
from harness.suite.yaml_nodes import described
from harness.tasks.base import TASKS, Task

C = TypeVar("C", bound=Config)

SOURCES = ("hub:", "path:", "micro:", "random:")


@dataclass(frozen=True)
class PlaceKey:
    """The path to a key of an entry that may name a folder or a file, and how that is made absolute: (text, folder of the suite file)."""

    path: tuple[str, ...]
    resolve: Callable[[str, Path], str]


@dataclass(frozen=True)
class Axis(Generic[C]):
    """An axis of configured entries. key: in the suite; kind: the entry's key that holds the registered name.

    default: the one entry of a suite without this key. places: the keys that may name a folder or a file.
    """

    key: str
    kind: str
    base: type[C]
    registry: Registry[C] | None
    default: str | None = None
    places: tuple[PlaceKey, ...] = ()


def resolved_source(source: str, folder: Path) -> str:
    """A model's source with an absolute folder, where it names one."""
    kind, _, rest = source.partition(":")
    if kind == "path" or (kind == "random" and (folder / rest / "config.json").is_file()):
        return f"{kind}:{_absolute(rest, folder)}"
    return source


def resolved_data(data: str, folder: Path) -> str:
    """A task's `data` with an absolute folder, where it names one."""
    return data if data in ("hub", "micro") or data.startswith("hub:") else _absolute(data, folder)


def _absolute(folder: str, base: Path) -> str:
    return str((base.absolute() / Path(folder).expanduser()).resolve())


MODELS = Axis("models", "source", ModelConfig, None, places=(PlaceKey(("source",), resolved_source),))
CALIBRATION_PLACES = (PlaceKey(("calibration", "file"), _absolute), PlaceKey(("calibration", "data"), resolved_data))
QUANTIZATION: Axis[Scheme] = Axis("quantization", "scheme", Scheme, SCHEMES, default="none", places=CALIBRATION_PLACES)
METHOD_AXIS: Axis[Method] = Axis("methods", "method", Method, METHODS)
TASK_AXIS: Axis[Task] = Axis("tasks", "task", Task, TASKS, places=(PlaceKey(("data",), resolved_data),))
AXES: tuple[Axis[Any], ...] = (MODELS, QUANTIZATION, METHOD_AXIS, TASK_AXIS)


def read_axis(axis: Axis[C], root: MappingNode, problems: list[Problem]) -> list[Entry[C]]:
    """The axis' entries, those that are in order; every problem of the others is appended."""
    node = root.values.get(axis.key)
    path: KeyPath = (axis.key,)
    if node is None and axis.default is not None:
        node = SequenceNode(root.place, (text_node(axis.default, root.place),))
    if node is None:
        problems.append(problem(root, (), f"the key {axis.key} is missing: a list with at least one entry"))
        return []
    if described(node) in ("an empty list", "nothing (null)"):
        problems.append(problem(root, path, "an empty axis: there is nothing to run; give at least one entry", key=True))
        return []
    if not isinstance(node, SequenceNode):
        problems.append(problem(root, path, f"expected a list of entries, found {described(node)}"))
        return []
    entries: list[Entry[C]] = []
    taken: dict[str, int] = {}
    for index, item in enumerate(node.items):
        entry = _Reader(axis, root, (axis.key, index), problems).entry(item)
        if entry is None:
            continue
        if entry.id in taken:
            first = taken[entry.id]
            where = f"{axis.key}[{first}] ({place_of(root, (axis.key, first))})"
            message = f"the id {entry.id} is already that of {where}; give one of them another id"
            problems.append(problem(root, (axis.key, index, "id"), message))
        else:
            taken[entry.id] = index
            entries.append(entry)
    return entries


@dataclass(frozen=True)
class _Reader(Generic[C]):
    """Reads the entry at `path`."""

    axis: Axis[C]
    root: MappingNode
    path: KeyPath
    problems: list[Problem]

    def entry(self, node: Node) -> Entry[C] | None:
        """The entry, or None when something is wrong with it."""
        before = len(self.problems)
        mapping = self._mapping(node)
        cls = self._class(mapping) if mapping is not None else None
        if mapping is None or cls is None:
            return None
        fields = resolved_places(self.axis, mapping.without("id", "train"))
        config = validated(cls, fields, self.root, self.path, self.problems, also_known=("id", "train"))
        train_node = mapping.values.get("train", MappingNode(mapping.place, {}, {}))
        train = validated(TrainSettings, train_node, self.root, (*self.path, "train"), self.problems)
        id_ = self._id(mapping)
        if config is None or train is None or id_ is None or len(self.problems) > before:
            return None
        return Entry(id_, config, train)

    def _mapping(self, node: Node) -> MappingNode | None:
        """The entry written out, with its kind key."""
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            return MappingNode(node.place, {self.axis.kind: node}, {})
        if not isinstance(node, MappingNode):
            self._refuse((), f"expected a name or a mapping with {self.axis.kind}, found {described(node)}")
            return None
        if self.axis.kind in node.values:
            return node
        if "id" in node.values and self.axis.registry is not None:
            return MappingNode(node.place, node.values | {self.axis.kind: node.values["id"]}, node.key_places)
        wanted = self.axis.kind if self.axis.registry is None else f"{self.axis.kind} (or an id that is its name)"
        self._refuse((), f"the key {wanted} is missing")
        return None

    def _class(self, mapping: MappingNode) -> type[C] | None:
        name = mapping.values[self.axis.kind]
        at = next(((key,) for key in (self.axis.kind, "id") if key in mapping.key_places), ())
        if not (isinstance(name, ScalarNode) and isinstance(name.value, str)):
            self._refuse(at, f"expected the name of a {self.axis.kind}, found {described(name)}")
            return None
        if self.axis.registry is None:
            return self._model_class(name.text)
        try:
            return self.axis.registry.get(name.text)
        except UnknownName as error:
            self._refuse(at, str(error))
            return None

    def _model_class(self, source: str) -> type[C] | None:
        if any(source.startswith(prefix) and len(source) > len(prefix) for prefix in SOURCES):
            return self.axis.base
        self._refuse((self.axis.kind,), f"expected hub:<owner>/<name>, path:<folder>, micro:<name> or random:<shape>, found {source!r}")
        return None

    def _id(self, mapping: MappingNode) -> str | None:
        given = mapping.values.get("id")
        if given is None:
            kind = mapping.values[self.axis.kind]
            assert isinstance(kind, ScalarNode)
            id_ = kind.text if self.axis.registry is not None else derived_model_id(kind.text)
        elif isinstance(given, ScalarNode) and given.value is not None:
            id_ = given.text
        else:
            self._refuse(("id",), f"expected text, found {described(given)}")
            return None
        trouble = id_trouble(id_, slashes=self.axis is TASK_AXIS)
        if trouble is not None:
            self._refuse(("id",), trouble)
        return id_

    def _refuse(self, below: KeyPath, message: str) -> None:
        self.problems.append(problem(self.root, self.path + below, message))


def derived_model_id(source: str) -> str:
    """The id of a model entry without one: `hub:FacebookAI/roberta-large` -> roberta-large, `micro:encoder` -> micro-encoder."""
    kind, _, rest = source.partition(":")
    last = rest.rstrip("/").rpartition("/")[2]
    words = last if kind in ("hub", "path") else f"{kind}-{last}"
    return re.sub(r"[^A-Za-z0-9_.+=-]", "-", words)


def resolved_places(axis: Axis[Any], mapping: MappingNode) -> MappingNode:
    """The entry with its folders and files absolute: `path:...` and `data: ...` are relative to the file they are written in."""
    for key in axis.places:
        mapping = _resolved(mapping, key.path, key.resolve)
    return mapping


def _resolved(mapping: MappingNode, path: tuple[str, ...], resolve: Callable[[str, Path], str]) -> MappingNode:
    first, *further = path
    value = mapping.values.get(first)
    if isinstance(value, MappingNode) and further:
        return mapping.adding(first, _resolved(value, tuple(further), resolve))
    if further or not (isinstance(value, ScalarNode) and isinstance(value.value, str)):
        return mapping
    return mapping.adding(first, text_node(resolve(value.text, Path(value.place.file).parent), value.place))
