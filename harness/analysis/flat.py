"""All fields of a record by their path, for spreadsheets; metrics and place excepted, which `Row` has, and the checks of a probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.records.measured import Latency
from harness.records.schema import Record


def flat(record: Record) -> dict[str, Any]:
    """path -> plain value (`memory.phases.train.torch_reserved`), None where it was not measured.

    Latencies stand under batch size and form (`latency.b8.unmerged.ttft_ms.p50`), notes in one text, the
    configuration under `config.<part>.<field>`.
    """
    values = record.model_dump(mode="json", exclude={"metrics", "latency", "notes", "cell", "probe"})
    values = {section: value for section, value in values.items() if value is not None}  # `quantization` alone is the axis
    config = {"config": record.cell.config, "latency": {_latency_name(found): _latency(found) for found in record.latency}}
    leaves: dict[str, Any] = {}
    _collect(values | config, "", leaves)
    return leaves | {"notes": "; ".join(record.notes)}


def _latency_name(found: Latency) -> str:
    return f"b{found.batch_size}.{found.form}"


def _latency(found: Latency) -> dict[str, Any]:
    return found.model_dump(exclude={"batch_size", "form"})


def _collect(values: Mapping[str, Any], prefix: str, leaves: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            _collect(value, f"{prefix}{key}.", leaves)
        else:
            leaves[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, list) else value
