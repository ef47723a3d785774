"""Baselines: results/reference/<device>/baselines/<name>.jsonl, a line per cell, text that git can merge.

A line is found by its device and its cell's id, never by its position; lines are sorted by both, so that two people who add
cells touch different lines. docs/gate.md says what is kept of a record.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from harness.errors import DataError
from harness.records.json_file import validated
from harness.records.noise import Repeated
from harness.records.parts import Part
from harness.records.schema import Environment, Record
from harness.records.store import remove_leftovers, write_atomically
from harness.records.upgrade import upgrade

BASELINE_VERSION: Literal[1] = 1
REFERENCE = Path("results") / "reference"
FOLDER = "baselines"
MOST_ITEMS = 1000  # of a metric; above, its standard error stands for them
GIT_SECONDS = 10
DIGITS = 6  # significant, of an item's value


class Saved(Part):
    """Who made a run the baseline, when, and which run."""

    who: str
    when: datetime
    run: str


class BaselineCell(Part):
    """One line: what `harness compare` needs of one cell on one device."""

    schema_version: Literal[1] = BASELINE_VERSION
    device: str = Field(description="the GPU, or the CPU and its cores")
    cell: str
    saved: Saved
    record: Record
    repeated: dict[str, Repeated] = Field(default_factory=dict, description="A/A repeats by address, where there were any")


def slug(environment: Environment) -> str:
    """The folder of a device under results/reference/: `nvidia-h200`; `cpu` without a GPU."""
    name = environment.gpu if environment.device == "cuda" else None
    return re.sub(r"[^a-z0-9]+", "-", (name or environment.device).lower()).strip("-")


def baseline_file(name: str, environment: Environment, reference: Path = REFERENCE) -> Path:
    """Where the baseline of that name is, or would be, for runs of that environment's device."""
    return reference / slug(environment) / FOLDER / f"{name}.jsonl"


def baseline_files(reference: Path = REFERENCE, name: str = "*") -> list[Path]:
    """The files of all devices' baselines of that name, sorted."""
    return sorted(reference.glob(f"*/{FOLDER}/{name}.jsonl"))


def kept(record: Record) -> Record:
    """The record as a baseline keeps it: without notes and probes, items of few only and shortened to six digits."""
    metrics = [
        metric.model_copy(update={"items": None if metric.items is None or len(metric.items) > MOST_ITEMS else [_short(item) for item in metric.items]})
        for metric in record.metrics
    ]
    return record.model_copy(update={"metrics": metrics, "notes": [], "probe": None})


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def write_baseline(path: Path, cells: Iterable[BaselineCell]) -> None:
    """Writes the lines sorted by device and cell, atomically; raises StorageError."""
    ordered = sorted(cells, key=lambda each: (each.device, each.cell))
    lines = (json.dumps(each.model_dump(mode="json", serialize_as_any=True, exclude_none=False), sort_keys=True, ensure_ascii=False) for each in ordered)
    remove_leftovers(path.parent)
    write_atomically(path, "".join(f"{line}\n" for line in lines))


def read_baseline(path: Path) -> list[BaselineCell]:
    """All lines. Raises DataError that names the file and the line: damaged, of a newer version, one cell twice, no line at all."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    found: dict[tuple[str, str], int] = {}
    cells = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cell = _parsed(line, f"{path}:{number}")
        first = found.setdefault((cell.device, cell.cell), number)
        if first != number:
            raise DataError(f"{path}:{number}: the cell {cell.cell} on {cell.device} stands in line {first} already: keep one of them")
        cells.append(cell)
    if not cells:
        raise DataError(f"{path} holds no cell: an empty baseline compares with nothing")
    return cells


def _parsed(line: str, place: str) -> BaselineCell:
    try:
        return validated(BaselineCell, line, _upgraded)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{place}: not a line of a baseline: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise DataError(f"{place}: not a line of a baseline: {error}") from error


def _upgraded(values: Any) -> dict[str, Any]:
    """A line's values with its record as this version has records; raises ValueError."""
    if not isinstance(values, dict):
        raise ValueError("a line is a JSON object")
    if values.get("schema_version") != BASELINE_VERSION:
        raise ValueError(f"baseline version {values.get('schema_version')}, and this harness reads {BASELINE_VERSION}")
    return {**values, "record": upgrade(values.get("record"))}


def who() -> str:
    """The name that git would commit under here, else the user's."""
    try:
        told = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False, timeout=GIT_SECONDS).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):  # no git here
        told = ""
    return told or os.environ.get("USER") or f"user {os.getuid()}"
