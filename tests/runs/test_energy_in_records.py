"""Joules per token in the record that is assembled of a cell: its readings, hand-written telemetry and results."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.measure.environment import environment
from harness.measure.phases import PhaseReading
from harness.measure.telemetry import TelemetryFacts, TelemetryWriter
from harness.needs import Machine
from harness.records.measured import Energy, Latency, Training
from harness.records.parts import Percentiles
from harness.records.schema import CellResult, Outcome
from harness.runs.assemble import record_of
from harness.runs.attempts import Before
from harness.runs.executors.base import Execution
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

SUITE = """
name: energy
models: [{source: "micro:decoder"}]
quantization: [none]
methods: [lora]
tasks: [{task: wikitext2, data: micro}]
measure: {latency: {batch_sizes: [2], prompt_tokens: 4, new_tokens: 5, repeats: 3, warmup_repeats: 2}}
"""
READINGS = [PhaseReading("train", 1.0, 2.0), PhaseReading("generate", 2.0, 3.0)]
TIMES = Percentiles(p50=1, p90=1, p99=1)
RESULT = CellResult(
    training=Training(steps=1, tokens=50, samples=4),
    latency=[Latency(batch_size=2, prompt_tokens=4, new_tokens=5, repeats=3, ttft_ms=TIMES, tpot_ms=TIMES, tokens_per_second=1.0)],
)


def energy(folder: Path, power: float | None = 100.0, outcome: Outcome | None = None) -> Energy:
    """Of a cell whose device drew that power for four seconds."""
    (folder / "suite.yaml").write_text(SUITE)
    (cell,) = make_plan(load_suite(folder / "suite.yaml"), Machine()).cells
    path = folder / "telemetry.parquet"
    writer = TelemetryWriter(path)
    for tick in range(401):
        writer.append({"at": tick / 100, "power_w": power})
    writer.close(TelemetryFacts(pid=1, period_ms=10, device="cuda"))
    now: Any = datetime.now(UTC)
    execution = Execution(cell, outcome or Outcome(status="ok"), now, now, READINGS, RESULT, path, [])
    return record_of(execution, environment("cpu"), Before()).energy


def test_energy_is_shared_out_over_the_tokens_of_its_phase(tmp_path: Path) -> None:
    found = energy(tmp_path)
    assert found.joules_per_training_token == pytest.approx(100 / 50)
    assert found.joules_per_generated_token == pytest.approx(100 / (2 * 5 * (3 + 2)))


def test_without_power_and_counter_it_is_null(tmp_path: Path) -> None:
    assert energy(tmp_path, power=None) == Energy()


def test_a_phase_that_did_not_come_to_its_end_has_no_energy_per_token(tmp_path: Path) -> None:
    found = energy(tmp_path, outcome=Outcome(status="oom", phase="generate", message="too large"))
    assert found.joules_per_training_token is not None
    assert found.joules_per_generated_token is None
