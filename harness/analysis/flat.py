"""All fields of a record by their path, for spreadsheets; metrics and place excepted, which `Row` has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.records.schema import Latency, Record


def flat(record: Record) -> dict[str, Any]:
    """path -> plain value (`memory.phases.train.torch_reserved`), None where it was not measured.

    Latencies stand under batch size and form (`latency.b8.unmerged.ttft_ms.p50`), notes in one text, the
    configuration under `config.<part>.<field>`.
    """
    values = record.model_dump(mode="json", exclude={"metrics", "latency", "notes", "cell"})
    config = {"config": record.cell.config, "latency": {_latency_name(found): _latency(found) for found in record.latency}}
    return dict(_leaves(values | config, "")) | {"notes": "; ".join(record.notes)}


def _latency_name(found: Latency) -> str:
    return f"b{found.batch_size}.{found.form}"


def _latency(found: Latency) -> dict[str, Any]:
    return found.model_dump(exclude={"batch_size", "form"})


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        yield path, ", ".join(str(item) for item in value)
    else:
        yield path, value
