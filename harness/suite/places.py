"""Folders and files that entries name: relative to the file they are written in, made absolute."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.suite.nodes import MappingNode, ScalarNode, text_node


@dataclass(frozen=True)
class PlaceKey:
    """The path to a key of an entry that may name a folder or a file, and how that is made absolute: (text, folder of the suite file)."""

    path: tuple[str, ...]
    resolve: Callable[[str, Path], str]


def resolved_source(source: str, folder: Path) -> str:
    """A model's source with an absolute folder, where it names one."""
    kind, _, rest = source.partition(":")
    if kind == "path" or (kind == "random" and os.path.isfile(folder / rest / "config.json")):
        return f"{kind}:{absolute(rest, folder)}"
    return source


def resolved_data(data: str, folder: Path) -> str:
    """A task's `data` with an absolute folder, where it names one."""
    return data if data in ("hub", "micro") or data.startswith("hub:") else absolute(data, folder)


def absolute(folder: str, base: Path) -> str:
    """The folder as an absolute path; relative ones are below `base`."""
    return os.path.realpath(base.absolute() / os.path.expanduser(folder))


def resolved_places(keys: Sequence[PlaceKey], mapping: MappingNode) -> MappingNode:
    """The entry with its folders and files absolute: `path:...` and `data: ...` are relative to the file they are written in."""
    for key in keys:
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
