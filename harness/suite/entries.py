"""The entries of the axes: `lora`, `{id: lora-r8, method: lora, r: 8}` or `hub:owner/name` to validated configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from harness.errors import MOST_PROBLEMS, Problem, UnknownName
from harness.fields import Config
from harness.methods.base import METHODS, Method
from harness.models.base import ModelConfig
from harness.quantization.base import SCHEMES, Scheme
from harness.registry import Registry
from harness.suite.evaluations import OWN, Evaluation, Evaluations
from harness.suite.ids import id_trouble
from harness.suite.nodes import (
    KeyPath,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    key_text,
    place_of,
    problem,
    text_node,
)
from harness.suite.places import PlaceKey, absolute, resolved_data, resolved_places, resolved_source
from harness.suite.schema import Entry
from harness.suite.settings import TrainSettings
from harness.suite.validation import validated
from harness.suite.yaml_nodes import described
from harness.tasks.base import TASKS, Task

C = TypeVar("C", bound=Config)

SOURCES = ("hub:", "path:", "micro:", "random:")


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


MODELS = Axis("models", "source", ModelConfig, None, places=(PlaceKey(("source",), resolved_source),))
CALIBRATION_PLACES = (PlaceKey(("calibration", "file"), absolute), PlaceKey(("calibration", "data"), resolved_data))
QUANTIZATION: Axis[Scheme] = Axis("quantization", "scheme", Scheme, SCHEMES, default="none", places=CALIBRATION_PLACES)
METHOD_AXIS: Axis[Method] = Axis("methods", "method", Method, METHODS)
TASK_AXIS: Axis[Task] = Axis("tasks", "task", Task, TASKS, places=(PlaceKey(("data",), resolved_data), PlaceKey(("include_path",), absolute)))
AXES: tuple[Axis[Any], ...] = (MODELS, QUANTIZATION, METHOD_AXIS, TASK_AXIS)

#: Keys of a task's entry that list other tasks: evaluated in its place, and beside it.
EVALUATION_KEYS = ("evaluate", "also")


def read_axis(axis: Axis[C], root: MappingNode, problems: list[Problem]) -> list[Entry[C]]:
    """The axis' entries, those that are in order; every problem of the others is appended."""
    node = root.values.get(axis.key)
    path: KeyPath = (axis.key,)
    if node is None and axis.default is not None:
        node = SequenceNode(root.place, (text_node(axis.default, root.place),))
    if node is None:
        problems.append(problem(root, (), f"the key {axis.key} is missing: a list with at least one entry"))
        return []
    return read_entries(axis, root, path, node, problems)


def read_entries(
    axis: Axis[C], root: MappingNode, path: KeyPath, node: Node, problems: list[Problem], taken: dict[str, KeyPath] | None = None
) -> list[Entry[C]]:
    """The entries of the list `node`, which stands at `path`. taken: where ids that they must not have are written; theirs are added."""
    if described(node) in ("an empty list", "nothing (null)"):
        problems.append(problem(root, path, "an empty axis: there is nothing to run; give at least one entry", key=True))
        return []
    if not isinstance(node, SequenceNode):
        problems.append(problem(root, path, f"expected a list of entries, found {described(node)}"))
        return []
    entries: list[Entry[C]] = []
    taken = {} if taken is None else taken
    for index, item in enumerate(node.items):
        if len(problems) > MOST_PROBLEMS:
            break
        entry = _Reader(axis, root, (*path, index), problems).entry(item)
        if entry is None:
            continue
        if entry.id in taken:
            where = f"{key_text(taken[entry.id])} ({place_of(root, taken[entry.id])})"
            message = f"the id {entry.id} is already that of {where}; give one of them another id"
            problems.append(problem(root, (*path, index, "id"), message))
        else:
            taken[entry.id] = (*path, index)
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
        beside = ("id", "train", *(EVALUATION_KEYS if self._evaluates else ()))
        fields = resolved_places(self.axis.places, mapping.without(*beside))
        if len(self.path) > 2 and issubclass(cls, Task) and not cls.evaluates:
            self._refuse((), "this task is only trained on: it evaluates nothing")
        config = validated(cls, fields, self.root, self.path, self.problems, also_known=beside)
        train_node = mapping.values.get("train", MappingNode(mapping.place, {}, {}))
        train = validated(TrainSettings, train_node, self.root, (*self.path, "train"), self.problems)
        id_ = self._id(mapping)
        evaluations = self._evaluations(mapping, cls) if self._evaluates else OWN
        if config is None or train is None or id_ is None or len(self.problems) > before:
            return None
        return Entry(id_, config, train, evaluations)

    @property
    def _evaluates(self) -> bool:
        """Whether the entry may list other tasks: one of the axis may, one that is itself in such a list may not."""
        return self.axis is TASK_AXIS and len(self.path) == 2

    def _evaluations(self, mapping: MappingNode, cls: type[C]) -> Evaluations:
        """What the entry's `evaluate` and `also` say; a task that is only trained on needs the first."""
        assert issubclass(cls, Task)
        taken: dict[str, KeyPath] = {}
        others: list[Evaluation] = []
        for key in [key for key in EVALUATION_KEYS if key in mapping.values]:
            path = (*self.path, key)
            for entry in read_entries(TASK_AXIS, self.root, path, mapping.values[key], self.problems, taken):
                others.append(Evaluation(id=entry.id, task=entry.config, beside=key == "also"))
        own = "evaluate" not in mapping.values
        if own and not cls.evaluates:
            self._refuse((), "this task is only trained on: say what is evaluated, as in evaluate: [mmlu]")
        return Evaluations(own=own, others=tuple(others))

    def _mapping(self, node: Node) -> MappingNode | None:
        """The entry written out, with its kind key."""
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            return MappingNode(node.place, {self.axis.kind: node}, {})
        if not isinstance(node, MappingNode):
            self._refuse((), f"expected a name or a mapping with {self.axis.kind}, found {described(node)}")
            return None
        if self._evaluates and "train" in node.values and self.axis.kind not in node.values:
            node = _trained_on(node)
        if self.axis.kind in node.values:
            return node
        if "id" in node.values and self.axis.registry is not None:
            return MappingNode(node.place, node.values | {self.axis.kind: node.values["id"]}, node.key_places)
        wanted = self.axis.kind if self.axis.registry is None else f"{self.axis.kind} (or an id that is its name)"
        self._refuse((), f"the key {wanted} is missing")
        return None

    def _class(self, mapping: MappingNode) -> type[C] | None:
        name = mapping.values[self.axis.kind]
        written_as = [key for key in (self.axis.kind, "train", "id") if key in mapping.key_places and (key != "train" or key not in mapping.values)]
        at = (written_as[0],) if written_as else ()
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
            id_ = kind.text.replace(":", "/") if self.axis.registry is not None else derived_model_id(kind.text)
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


def _trained_on(node: MappingNode) -> MappingNode:
    """`train: alpaca` in a task's entry says the same as `task: alpaca`; a mapping there is settings, as in every entry."""
    name = node.values["train"]
    if not (isinstance(name, ScalarNode) and isinstance(name.value, str)):
        return node
    return MappingNode(node.place, {"task" if key == "train" else key: value for key, value in node.values.items()}, node.key_places)


def derived_model_id(source: str) -> str:
    """The id of a model entry without one: `hub:FacebookAI/roberta-large` -> roberta-large, `micro:encoder` -> micro-encoder."""
    kind, _, rest = source.partition(":")
    last = rest.rstrip("/").rpartition("/")[2]
    words = last if kind in ("hub", "path") else f"{kind}-{last}"
    return re.sub(r"[^A-Za-z0-9_.+=-]", "-", words)
