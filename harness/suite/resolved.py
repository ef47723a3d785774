"""The suite as it was run: fragments merged, profile applied, names and folders resolved. It loads to the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from harness.suite.entries import AXES
from harness.suite.evaluations import written
from harness.suite.scalars import SuiteDumper
from harness.suite.schema import Entry, Sections, Suite


def resolved_yaml(suite: Suite) -> str:
    """The YAML text of the suite with nothing left to look up but what the package ships."""
    given: dict[str, Any] = suite.model_dump(mode="json", include=set(Sections.model_fields), exclude_unset=True)
    heading = ("name", "title", "description", "references")
    ordered: dict[str, Any] = {key: given.pop(key) for key in heading if key in given}
    for axis in AXES:
        ordered[axis.key] = _entries(getattr(suite, axis.key))
    ordered["seeds"] = list(suite.seeds)
    if suite.sweep:
        ordered["sweep"] = suite.sweep
    origin = f"# from {suite.file}" + (f", profile {suite.profile}" if suite.profile else "") + "\n"
    return origin + yaml.dump(
        ordered | given, Dumper=SuiteDumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )


def _entries(entries: Sequence[Entry[Any]]) -> list[dict[str, Any]]:
    entries_written = []
    for entry in entries:
        values = {"id": entry.id} | entry.config.model_dump(mode="json", exclude_unset=True)
        train = entry.train.model_dump(mode="json", exclude_unset=True)
        entries_written.append(values | ({"train": train} if train else {}) | written(entry.evaluations))
    return entries_written
