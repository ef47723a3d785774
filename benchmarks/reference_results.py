"""results/reference/<card>/: what was measured on named hardware, as small text files that are committed.

    environment.json         the machine and the versions of the newest check
    check.json               how that check went: its parts, the gpu-marked tests, the cells that were not reached
    <suite>.jsonl            a record a line; each has its own date and environment
    doctor.json              what `harness doctor --json` said, matrix products included
    telemetry_overhead.json  step time with and without the sampler
    nvml_trace.jsonl         NVML's answers, idle, busy and idle again: recorded, for tests without a GPU
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.records.schema import Record
from harness.records.store import write_atomically
from harness.records.upgrade import upgrade

MEASURED = ("ok", "oom")  # the outcomes that say something of the card; a cell that failed says something of this version of ours


def slug(gpu: str | None) -> str:
    """The folder's name for a card: `nvidia-h200`; `cpu` without one."""
    return re.sub(r"[^a-z0-9]+", "-", (gpu or "cpu").lower()).strip("-")


def read_records(path: Path) -> list[Record]:
    """The records of a .jsonl file, none where there is no such file. Raises HarnessError that names the line of a damaged one."""
    if not path.is_file():
        return []
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            records.append(Record.model_validate(upgrade(json.loads(line))))
        except ValueError as error:  # pydantic's and json's errors are ValueErrors
            raise HarnessError(f"{path}:{number}: not a record of ours: {error}") from error
    return records


def write_records(path: Path, records: Iterable[Record]) -> None:
    """One record a line."""
    write_atomically(path, "".join(record.model_dump_json(serialize_as_any=True) + "\n" for record in records))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """JSON to read and to compare line by line."""
    write_atomically(path, json.dumps(values, indent=1) + "\n")


@dataclass(frozen=True)
class Merged:
    """records: in the order of the plan, with those of earlier checks that were not measured again. fresh: cells measured now.
    missing: cells of the plan that nobody has measured yet. failed: label -> why, of cells that ended otherwise now."""

    records: list[Record]
    fresh: list[str]
    missing: list[str]
    failed: dict[str, str]


def merged(planned: Mapping[str, str], before: Collection[Record], now: Collection[Record]) -> Merged:
    """Lays what was measured now over what was measured before; cells that the suite does not plan any more are dropped.

    planned: id -> label of the suite's cells, in order. A cell that failed now keeps the record that it had.
    """
    measured = {record.cell.id: record for record in before}
    ended_otherwise = {record.cell.id: record for record in now if record.outcome.status not in MEASURED}
    fresh = {record.cell.id: record for record in now if record.outcome.status in MEASURED}
    measured |= fresh
    return Merged(
        records=[measured[id_] for id_ in planned if id_ in measured],
        fresh=[label for id_, label in planned.items() if id_ in fresh],
        missing=[label for id_, label in planned.items() if id_ not in measured and id_ not in ended_otherwise],
        failed={label: _why(ended_otherwise[id_]) for id_, label in planned.items() if id_ in ended_otherwise},
    )


def _why(record: Record) -> str:
    outcome = record.outcome
    return f"{outcome.status}{f' in {outcome.phase}' if outcome.phase else ''}: {(outcome.message or '').strip().splitlines()[0] if outcome.message else ''}"
