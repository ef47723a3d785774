"""What reports make of measurements that only a GPU gives: memory four ways, and numbers taken while it was throttled."""

from __future__ import annotations

from typing import Any

import pytest
from record_factory import MIB, START, environment, record

from harness.analysis.columns import describe, row, rows
from harness.analysis.cost import cost_table
from harness.analysis.groups import AxisOrder
from harness.analysis.memory_ways import memory_table
from harness.analysis.throttling import THROTTLED_MARK, throttled_marks
from harness.records.measured import Latency, Memory, PhaseMemory, Timing
from harness.records.parts import Percentiles
from harness.records.schema import Quantization, QuantizationCost, Record

ORDER = AxisOrder()


def measured(train: PhaseMemory, **fields: Any) -> Record:
    memory = Memory(phases={"load": PhaseMemory(host_rss=5 * MIB), "train": train}, peak_vram=train.nvml_process, peak_vram_source="nvml_process")
    return record(memory=memory, environment=environment(device="cuda", gpu="NVIDIA H200"), **fields)


def four(factor: int = 1) -> PhaseMemory:
    return PhaseMemory(nvml_process=30 * MIB * factor, nvml_device=32 * MIB * factor, torch_reserved=20 * MIB * factor, torch_allocated=12 * MIB * factor, host_rss=7 * MIB)


def throttled(**phases: list[str]) -> Timing:
    return Timing(phases={"load": 1.0, "train": 10.0, "evaluate": 2.0}, total=13.0, throttled=phases)


def latency(form: str) -> Latency:
    times = Percentiles(p50=3.0, p90=4.0, p99=5.0)
    return Latency(batch_size=1, prompt_tokens=8, new_tokens=8, ttft_ms=times, tpot_ms=times, tokens_per_second=10.0, form=form)


def test_memory_stands_four_ways_by_phase_and_reconciled() -> None:
    found = memory_table(rows([measured(four()), measured(four(), method="full")]), ORDER)
    assert found is not None
    assert found.header == [
        "method", "phase", "process (NVML)", "device less before (NVML)", "torch reserved", "torch allocated", "outside torch", "fragmentation", "host"
    ]  # fmt: skip
    lines = [[entry.text for entry in line] for line in found.rows]
    assert lines[1] == ["full", "train", "30.00 MiB", "32.00 MiB", "20.00 MiB", "12.00 MiB", "10.00 MiB", "8.00 MiB", "7.00 MiB"]
    assert lines[2] == ["lora", "load", "–", "–", "–", "–", "–", "–", "5.00 MiB"]


def test_memory_is_the_mean_over_seeds() -> None:
    found = memory_table(rows([measured(four()), measured(four(3), seed=1)]), ORDER)
    assert found is not None
    assert found.rows[1][2].text == "60.00 MiB"
    assert "Means over n = 2 seeds." in found.notes


def test_where_only_the_host_was_measured_there_is_no_such_table() -> None:
    assert memory_table(rows([record()]), ORDER) is None
    assert memory_table(rows([measured(four(), status="oom")]), ORDER) is None


def test_memory_past_torch_has_an_address_in_every_phase() -> None:
    found = row(measured(four()))
    reading = found.reading("memory.train_outside_torch")
    assert reading is not None
    assert reading.value == 10 * MIB
    assert reading.protocol is not None
    assert reading.protocol.endswith("on NVIDIA H200")
    assert found.reading("memory.load_outside_torch") is None
    assert describe("memory.train_fragmentation").label == "train, fragmentation"
    assert describe("memory.evaluate_fragmentation").label == "evaluate, fragmentation"


@pytest.mark.parametrize(
    ("key", "phase"),
    [
        ("timing.train", "train"),
        ("timing.total", "load"),
        ("training.tokens_per_second", "train"),
        ("training.step_ms.p99", "train"),
        ("latency.ttft_ms.p50:before", "generate_base"),
        ("latency.ttft_ms.p50:b8-p128:merged", "generate_merged"),
        ("latency.ttft_ms.p50:after", "generate"),
        ("latency.tokens_per_second", "generate"),
        ("batch_latency.batch_ms.p50", "generate_base"),
    ],
)
def test_times_and_rates_of_a_throttled_phase_are_marked(key: str, phase: str) -> None:
    assert throttled_marks(rows([record(timing=throttled(**{phase: ["SwPowerCap"]}))]), key) == (THROTTLED_MARK,)
    assert throttled_marks(rows([record(timing=throttled())]), key) == ()


@pytest.mark.parametrize(
    ("key", "phase"),
    [("timing.train", "load"), ("memory.train_peak", "train"), ("training.step_ms.p50", "evaluate"), ("latency.ttft_ms.p50:merged", "generate"), ("accuracy", "evaluate"), ("training.final_loss", "train"), ("training.steps", "train"), ("quantization.seconds", "quantize")],
)
def test_other_numbers_are_not(key: str, phase: str) -> None:
    assert throttled_marks(rows([record(timing=throttled(**{phase: ["SwPowerCap"]}))]), key) == ()


@pytest.mark.parametrize("here", [True, False])
def test_the_time_that_quantizing_took_is_marked_in_the_cell_that_quantized(here: bool) -> None:
    cost = QuantizationCost(seconds=9.0, peak_bytes=MIB, peak_source="nvml_process", disk_bytes=MIB, made=START, here=here)
    stored = Quantization(layers=1, weights=2 * MIB, bytes=MIB, bits_per_weight=4.0, kernels={"TorchLinear": 1}, cost=cost)
    slowed = record(timing=throttled(quantize=["SwPowerCap"])).model_copy(update={"quantization": stored})
    assert throttled_marks(rows([slowed]), "quantization.seconds") == ((THROTTLED_MARK,) if here else ())


def test_the_one_form_of_a_cell_that_tunes_nothing_was_timed_in_generate() -> None:
    untuned = record(training=None, latency=[latency("base")], timing=throttled(generate=["HwSlowdown"]))
    assert throttled_marks(rows([untuned]), "latency.ttft_ms.p50:before") == (THROTTLED_MARK,)


def test_the_cost_table_marks_what_was_throttled_and_says_what_the_mark_means() -> None:
    found = cost_table(rows([record(timing=throttled(train=["SwThermalSlowdown"])), record(method="full")]), ORDER)
    assert found is not None
    full, lora = (dict(zip(found.header, line, strict=True)) for line in found.rows)
    assert lora["train time"].marks == lora["tokens/s"].marks == (THROTTLED_MARK,)
    assert lora["peak memory"].marks == full["train time"].marks == ()
    assert "slowed its clocks" in found.footnotes[THROTTLED_MARK]
