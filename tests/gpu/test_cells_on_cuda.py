"""Whole cells on a real card: a run of micro models, and what its records say of memory, time and energy."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.records.schema import Record
from harness.records.store import RecordStore

pytestmark = pytest.mark.gpu
PERIOD_MS = 5.0
SLACK = 32 * 2**20  # what the driver rounds a process' memory to, generously
SUITE = """
name: on_cuda
models: [{id: tiny, source: "random:opt-125m", dtype: bfloat16}]
quantization: [none, bnb-nf4-dq, {id: packed, scheme: rtn-4bit, group_size: 128, kernel: torch}]
methods: [{id: lora, method: lora, r: 8, target_modules: all-linear}]
tasks: [{id: random-tokens, task: synthetic, rows: 64}]
seeds: [0]
train: {max_steps: 30, max_length: 128, per_device_train_batch_size: 4, bf16: true}
measure: {warmup_steps: 5, sample_ms: 5, latency: {batch_sizes: [1], prompt_tokens: [16], new_tokens: 8, repeats: 3}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    folder = tmp_path_factory.mktemp("on_cuda")
    suite = folder / "on_cuda.yaml"
    suite.write_text(SUITE if find_spec("gptqmodel") else SUITE.replace(", {id: packed, scheme: rtn-4bit, group_size: 128, kernel: torch}", ""))
    command = [sys.executable, "-m", "harness", "run", str(suite), "--device", "cuda", "--out", str(folder / "run")]
    paths = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, timeout=240, check=False)
    assert (folder / "run" / "records").is_dir(), done.stdout + done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def records(run: Path) -> list[Record]:
    return RecordStore(run).read_all()[0]


def test_every_cell_is_ok(records: list[Record]) -> None:
    assert {record.cell.quantization: (record.outcome.status, record.outcome.message) for record in records} == {
        record.cell.quantization: ("ok", None) for record in records
    }
    assert {"none", "bnb-nf4-dq"} <= {record.cell.quantization for record in records}


def test_peak_memory_is_nvmls_and_a_fallback_is_noted(records: list[Record]) -> None:
    for record in records:
        source = record.memory.peak_vram_source
        assert source in ("nvml_process", "nvml_device_delta")
        assert source == "nvml_process" or any("nvml" in note.lower() for note in record.notes), record.notes


def test_nvml_saw_all_that_torch_held_wherever_it_looked(records: list[Record]) -> None:
    """What torch has reserved stays reserved to the phase's end, so that a sampler that looks every few milliseconds sees it."""
    for record in records:
        train = record.memory.phases["train"]
        seen = train.nvml_process if train.nvml_process is not None else train.nvml_device
        assert train.torch_allocated is not None
        assert train.torch_reserved is not None
        assert seen is not None
        assert 0 < train.torch_allocated <= train.torch_reserved <= seen + SLACK, record.cell.quantization
        loaded, trained = record.memory.phases["load"], train
        assert (loaded.torch_allocated or 0) < (trained.torch_allocated or 0), "training takes gradients and activations beyond the weights"


def test_step_times_fit_into_the_phase(records: list[Record]) -> None:
    for record in records:
        assert record.training is not None
        assert record.training.step_ms is not None
        assert record.training.steps * record.training.step_ms.p50 / 1000 < record.timing.phases["train"]
        assert (record.training.tokens_per_second or 0) > 0
        assert record.training.padded_tokens in (None, 30 * 4 * 128)


def test_a_model_in_bfloat16_generates_and_is_timed(records: list[Record]) -> None:
    for record in records:
        assert record.latency, record.notes
        for latency in record.latency:
            assert latency.new_tokens == 8
            assert latency.ttft_ms.p50 > 0


def test_energy_is_counted_and_grows(run: Path, records: list[Record]) -> None:
    import pyarrow.parquet

    for record in records:
        columns: dict[str, list[Any]] = pyarrow.parquet.read_table(run / "cells" / record.cell.id / "telemetry.parquet").to_pydict()
        told = [value for value in columns["energy_j"] if value is not None and value == value]
        assert all(before <= after for before, after in pairwise(told))
        if record.energy.source is None:
            assert any("energy" in note.lower() or "power" in note.lower() for note in record.notes), record.notes
        else:
            assert record.energy.phases["train"] > 0


def test_quantizing_has_a_peak_of_its_own(records: list[Record]) -> None:
    packed = [record for record in records if record.cell.quantization == "packed"]
    if not packed:
        pytest.skip("gptqmodel is not installed")
    assert packed[0].quantization is not None
    cost = packed[0].quantization.cost
    assert cost is not None
    assert cost.peak_source == "torch_reserved"
    assert (cost.peak_bytes or 0) > 0
    assert packed[0].quantization.kernels == {"TorchLinear": packed[0].quantization.layers}
