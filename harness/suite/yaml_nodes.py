"""Safe, strict reading of YAML into nodes: every error has a position, and no file can make the reader blow up.

PyYAML only splits the text into events; what they mean is decided here (see scalars.py). There are no tags,
so nothing in a file can construct anything but text, numbers, booleans, null, lists and mappings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.errors import Problem, SuiteError, nearest, shortened
from harness.suite.nodes import MappingNode, Node, Place, ScalarNode, SequenceNode
from harness.suite.scalars import scalar_value

MAX_BYTES = 2 * 2**20
MAX_NODES = 100_000
MAX_DEPTH = 50
MAX_KEYS = 500  # of one mapping: an unknown key is looked for among all that are known

_NOT_IN_A_SUITE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> MappingNode:
    """The mapping that the file holds; raises SuiteError for anything else, with the position."""
    text = _read_text(path)
    composer = _Composer(str(path), text)
    root = composer.document()
    if root is None:
        raise _error(Place(str(path), 1, 1), "the file is empty; expected a mapping of keys such as name, models, tasks")
    if not isinstance(root, MappingNode):
        composer.problems.append(_problem(root.place, f"expected a mapping of keys, found {described(root)}"))
    if composer.problems:
        raise SuiteError(composer.problems)
    assert isinstance(root, MappingNode)
    return root


def described(node: Node) -> str:
    """A value in words, for `expected ..., found ...`."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list" if node.items else "an empty list"
    if node.value is None:
        return "nothing (null)"
    if isinstance(node.value, str):
        return f"the text {node.text[:60]!r}"
    return node.text[:60]


def _read_text(path: Path) -> str:
    start = Place(str(path), 1, 1)
    try:
        if path.is_dir():
            raise SuiteError([Problem("is a folder, not a YAML file", str(path))])
        size = path.stat().st_size
        if size > MAX_BYTES:
            limit = f"{MAX_BYTES // 2**20} MiB"
            raise _error(start, f"the file has {size / 2**20:.1f} MiB; a suite has at most {limit}: is this the right file?")
        data = path.read_bytes()
    except OSError as error:
        raise SuiteError([Problem(f"cannot be read: {error.strerror or error}", str(path))]) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise _error(Place(str(path), line, column), f"not UTF-8 text (byte 0x{data[error.start]:02x}); save the file as UTF-8") from error
    odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if odd is not None:
        line = text.count("\n", 0, odd.start()) + 1
        column = odd.start() - (text.rfind("\n", 0, odd.start()) + 1) + 1
        raise _error(Place(str(path), line, column), f"the control character U+{ord(odd.group()):04X} is not allowed in YAML")
    return text


@dataclass
class _Anchor:
    """A named node; None while it is still being read, so that a use within itself is seen."""

    place: Place
    node: Node | None = None
    size: int = 0


class _Composer:
    """Turns the events of one document into nodes. problems: what is wrong but does not stop the reading."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._anchors: dict[str, _Anchor] = {}
        self._size = 0
        self._lines = text.splitlines()
        self._events = self._checked(yaml.parse(text, Loader=_Loader))

    def document(self) -> Node | None:
        """The one document of the file, None when there is none."""
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self._events), 0)
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise _error(self._place(after), "a second document starts here; a suite is one document")
        empty = isinstance(root, ScalarNode) and root.value is None
        return None if empty else root

    def _checked(self, events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
        """The events; a syntax error becomes a SuiteError at its position."""
        try:
            yield from events
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file, 1, 1)
            raise _error(place, self._syntax_message(place, error)) from error

    def _syntax_message(self, place: Place, error: yaml.MarkedYAMLError) -> str:
        line = self._lines[place.line - 1] if place.line <= len(self._lines) else ""
        if "\t" in line[: place.column]:
            return "a tab cannot be used here; indent with spaces"
        context = f" {error.context}" if error.context else ""
        return f"not valid YAML: {error.problem}{context}"

    def _node(self, event: yaml.Event, depth: int) -> Node:
        place = self._place(event)
        if depth > MAX_DEPTH:
            raise _error(place, f"nested more than {MAX_DEPTH} levels deep")
        assert isinstance(event, yaml.NodeEvent), "the parser gives a node here"
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), place)
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if event.tag is not None:
            self.problems.append(_problem(place, f"the tag {shortened(event.tag)} is not allowed; quote a value that is meant as text"))
        anchor = _Anchor(place)
        if event.anchor is not None:
            self._anchors[event.anchor] = anchor
        before = self._size
        node = self._fresh(event, place, depth)
        self._grow(1, place)
        anchor.node, anchor.size = node, self._size - before
        return node

    def _fresh(self, event: yaml.NodeEvent, place: Place, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            self._check_characters(event.value, place)
            return ScalarNode(place, event.value, event.value if event.style else scalar_value(event.value))
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(item, depth + 1))
            return SequenceNode(place, tuple(items))
        return self._mapping(place, depth)

    def _check_characters(self, text: str, place: Place) -> None:
        """What a terminal would obey, or would show otherwise than it is, has no place in a suite, escaped or not."""
        odd = _NOT_IN_A_SUITE.search(text)
        if odd is not None:
            self.problems.append(_problem(place, f"the character U+{ord(odd.group()):04X} (control, or direction of writing) is not allowed"))

    def _mapping(self, place: Place, depth: int) -> MappingNode:
        values: dict[str, Node] = {}
        places: dict[str, Place] = {}
        inherited: MappingNode | None = None
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, ScalarNode):
                self.problems.append(_problem(key.place, f"expected a name as key, found {described(key)}"))
            elif key.text in places:
                self.problems.append(_problem(key.place, f"the key {shortened(key.text)} is given twice, first at {places[key.text]}"))
            elif len(places) == MAX_KEYS:
                raise _error(key.place, f"more than {MAX_KEYS} keys in one mapping; that is no suite")
            else:
                places[key.text] = key.place
                if key.text == "<<" and isinstance(event, yaml.ScalarEvent) and not event.style:
                    inherited = self._inherited(value, place)
                else:
                    values[key.text] = value
        if inherited is None:
            return MappingNode(place, values, places)
        return MappingNode(place, inherited.values | values, inherited.key_places | places)

    def _inherited(self, value: Node, place: Place) -> MappingNode:
        """What `<<` brings in: one mapping, or a list of them of which the first one wins."""
        parents = value.items if isinstance(value, SequenceNode) else (value,)
        values: dict[str, Node] = {}
        places: dict[str, Place] = {}
        for parent in reversed(parents):
            if isinstance(parent, MappingNode):
                values |= parent.values
                places |= parent.key_places
            else:
                self.problems.append(_problem(parent.place, f"<< takes a mapping or a list of them, found {described(parent)}"))
        return MappingNode(place, values, places)

    def _alias(self, name: str, place: Place) -> Node:
        anchor = self._anchors.get(name)
        if anchor is None:
            guess = nearest(name, self._anchors)
            raise _error(place, f"no anchor &{shortened(name)} was given before" + (f"; did you mean *{guess}?" if guess else ""))
        if anchor.node is None:
            raise _error(place, f"the anchor &{shortened(name)} of {anchor.place} is used inside itself: a cycle without an end")
        self._grow(anchor.size, place)
        return anchor.node

    def _grow(self, nodes: int, place: Place) -> None:
        self._size += nodes
        if self._size > MAX_NODES:
            raise _error(place, f"more than {MAX_NODES:,} values once its anchors are written out; that is no suite")

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        assert mark is not None, "every event of a text has a mark"
        return Place(self.file, mark.line + 1, mark.column + 1)


def _problem(place: Place, message: str) -> Problem:
    return Problem(message, place.file, place.line, place.column)


def _error(place: Place, message: str) -> SuiteError:
    return SuiteError([_problem(place, message)])
