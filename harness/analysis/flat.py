"""All fields of a record by their path, for spreadsheets; metrics and place excepted, which `Row` has, and the checks of a probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.latency_addresses import size_measured
from harness.records.measured import BatchLatency, Latency
from harness.records.schema import Record
from harness.suite.latency import size_part


def flat(record: Record) -> dict[str, Any]:
    """path -> plain value (`memory.phases.train.torch_reserved`), None where it was not measured.

    Latencies stand under their size and form (`latency.b8-p64.unmerged.ttft_ms.p50`), notes in one text, the
    configuration under `config.<part>.<field>`.
    """
    values = record.model_dump(mode="json", exclude={"metrics", "latency", "batch_latency", "notes", "cell", "probe"})
    values = {section: value for section, value in values.items() if value is not None}  # `quantization` alone is the axis
    config = {"config": record.cell.config, "latency": _latencies(record.latency), "batch_latency": _latencies(record.batch_latency)}
    leaves: dict[str, Any] = {}
    _collect(values | config, "", leaves)
    return leaves | {"notes": "; ".join(record.notes)}


def _latencies(entries: Sequence[Latency | BatchLatency]) -> dict[str, dict[str, Any]]:
    placing = {"batch_size", "prompt_tokens", "tokens", "form"}
    return {f"{size_part(*size_measured(found))}.{found.form}": found.model_dump(exclude=placing) for found in entries}


def _collect(values: Mapping[str, Any], prefix: str, leaves: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            _collect(value, f"{prefix}{key}.", leaves)
        else:
            leaves[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, list) else value
