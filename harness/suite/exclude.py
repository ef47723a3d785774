"""Which cells a suite leaves out: globs on ids, compared with a cell's place on every axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from harness.suite.cell import Labels
from harness.suite.schema import Pattern


def matches(pattern: Pattern, label: Any) -> bool:
    """Whether a label is meant: a glob on its text, an equal number, or any of a list of these."""
    if isinstance(pattern, list):
        return any(matches(one, label) for one in pattern)
    return bool(pattern == label) or fnmatchcase(str(label), str(pattern))


def place(labels: Labels) -> dict[str, Any]:
    """Axis -> the cell's label on it, swept keys included."""
    return {
        "model": labels.model, "quantization": labels.quantization, "method": labels.method, "task": labels.task,
        "seed": labels.seed, **labels.sweep,
    }  # fmt: skip


class Exclusions:
    """A suite's `exclude`, and which of its entries have matched any cell."""

    def __init__(self, entries: Sequence[Mapping[str, Pattern]]) -> None:
        self._entries = entries
        self._used: set[int] = set()
        self._known: dict[tuple[int, str, Any], bool] = {}

    def excludes(self, labels: Labels) -> bool:
        """Whether any entry matches the cell on all of its axes."""
        at = place(labels)
        found = [index for index, entry in enumerate(self._entries) if all(self._match(index, axis, at) for axis in entry)]
        self._used.update(found)
        return bool(found)

    def unused(self) -> list[int]:
        """Indices of the entries that matched no cell so far."""
        return [index for index in range(len(self._entries)) if index not in self._used]

    def _match(self, index: int, axis: str, at: Mapping[str, Any]) -> bool:
        if axis not in at:
            return False
        key = (index, axis, str(at[axis]))
        if key not in self._known:
            self._known[key] = matches(self._entries[index][axis], at[axis])
        return self._known[key]
