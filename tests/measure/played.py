"""What the tests of played NVML share: drivers and telemetry from the traces beside this file."""

from __future__ import annotations

import os
from pathlib import Path

from harness.measure.board import Board
from harness.measure.nvml import Nvml, open_nvml
from harness.measure.nvml_player import PlayedDriver, read_trace
from harness.measure.sampled_cell import SampledCell
from harness.measure.telemetry import TelemetryFacts, TelemetryWriter

TRACES = Path(__file__).parent / "traces"
CELL = os.getpid()
GB = 10**9


def driver(trace: str) -> PlayedDriver:
    """The player of one of the traces; this process is the cell."""
    return PlayedDriver(read_trace(TRACES / f"{trace}.jsonl"), CELL)


def played(trace: str) -> Nvml:
    """The readings of its device."""
    nvml = open_nvml(driver=driver(trace))
    assert nvml is not None
    return nvml


def telemetry_of(trace: str, path: Path, readings: int = 10, board: Board | None = None) -> Path:
    """The telemetry of a cell on that device: rows one second apart from 0 on, the first before the cell begins."""
    nvml = played(trace)
    cell, facts = SampledCell(CELL, nvml, board, state_s=0), TelemetryFacts(pid=CELL, period_ms=1000, device="cuda")
    writer = TelemetryWriter(path)
    for second in range(readings):
        row = cell.read() | {"at": float(second)}
        if second == 0:
            facts.baseline_device_bytes = int(row["nvml_device"] or 0)
        writer.append(row)
    cell.tell(facts)
    facts.notes.extend(nvml.missing())
    writer.close(facts)
    return path
