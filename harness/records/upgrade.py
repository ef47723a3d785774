"""Reads records that an older version wrote: one step per version, applied in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.records.schema import SCHEMA_VERSION

# STEPS[n] turns a record of version n into one of version n + 1. Version 1 is the first.
STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


class NewerSchema(ValueError):
    """A record of a schema version that this harness does not know yet."""


def upgrade(record: Any) -> dict[str, Any]:
    """The record as this version's schema wants it; raises NewerSchema, and ValueError for what is no record or has no version."""
    if not isinstance(record, dict):
        raise ValueError("a record is a JSON object")
    upgraded: dict[str, Any] = record
    version = upgraded.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError("schema_version is missing, or no version")
    if version > SCHEMA_VERSION:
        raise NewerSchema(f"schema_version {version} is newer than this harness reads ({SCHEMA_VERSION})")
    while version < SCHEMA_VERSION:
        upgraded = STEPS[version](upgraded)
        version += 1
    return upgraded
