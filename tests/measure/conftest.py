"""Fixtures of the tests of measurement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.measure.telemetry import TelemetryFacts, TelemetryWriter


@pytest.fixture
def telemetry(tmp_path: Path) -> Callable[..., Path]:
    """Writes a telemetry.parquet from rows that the test has made by hand."""

    def write(rows: list[dict[str, Any]], **facts: Any) -> Path:
        path = tmp_path / "telemetry.parquet"
        writer = TelemetryWriter(path)
        for row in rows:
            writer.append(row)
        writer.close(TelemetryFacts(**{"pid": 1, "period_ms": 10, "device": "cuda", **facts}))
        return path

    return write
