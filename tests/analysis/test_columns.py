"""Records as rows: addresses, final values, sources of costs."""

from __future__ import annotations

import pytest
from record_factory import MIB, environment, metric, record

from harness.analysis.columns import describe, row
from harness.errors import UnknownName
from harness.records.measured import Memory, PhaseMemory


def test_the_final_value_is_the_one_after_training() -> None:
    found = row(record(metrics=[metric(value=0.5, when="before"), metric(value=0.8, when="after")]))
    assert found.readings["accuracy"].value == 0.8
    assert found.readings["accuracy:before"].value == 0.5
    assert found.readings["accuracy:after"].value == 0.8


def test_the_final_value_of_an_untuned_cell_is_the_one_before() -> None:
    assert row(record(metrics=[metric(value=0.5, when="before")])).readings["accuracy"].value == 0.5


def test_a_merged_value_is_not_the_final_one() -> None:
    found = row(record(metrics=[metric(value=0.8), metric(value=0.7, when="merged")]))
    assert (found.readings["accuracy"].value, found.readings["accuracy:merged"].value) == (0.8, 0.7)


def test_a_cell_that_died_in_training_has_no_final_value() -> None:
    found = row(record(status="oom", metrics=[metric(value=0.5, when="before")]))
    assert found.reading("accuracy") is None
    assert found.readings["accuracy:before"].value == 0.5


def test_a_metric_of_another_task_has_its_own_address() -> None:
    found = row(record(metrics=[metric(value=0.8), metric(value=0.3, task="mmlu")]))
    assert (found.readings["accuracy"].value, found.readings["accuracy@mmlu"].value) == (0.8, 0.3)


def test_memory_names_its_source_and_device() -> None:
    found = row(record(peak=500 * MIB)).readings["memory.peak_vram"]
    assert found.value == 500 * MIB
    assert found.protocol == "host memory (resident set of the cell's process) on Test CPU, 2 cores"


def test_the_train_peak_is_of_the_headlines_source() -> None:
    phases = {"train": PhaseMemory(nvml_process=900, torch_reserved=800, host_rss=5000)}
    memory = Memory(phases=phases, peak_vram=900, peak_vram_source="nvml_process")
    found = row(record(memory=memory, environment=environment(device="cuda", gpu="NVIDIA H200")))
    assert found.readings["memory.train_peak"].value == 900
    assert "NVIDIA H200" in str(found.readings["memory.train_peak"].protocol)


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("accuracy", "accuracy"),
        ("accuracy:before", "accuracy before tuning"),
        ("accuracy:anatomy", "accuracy (anatomy)"),
        ("accuracy:anatomy:before", "accuracy (anatomy) before tuning"),
        ("accuracy@mmlu:merged", "accuracy on mmlu after merging"),
        ("timing.attach", "attach time"),
        ("memory.load_peak", "load peak"),
    ],
)
def test_every_address_has_a_label(address: str, label: str) -> None:
    assert (describe(address).key, describe(address).label) == (address, label)


def test_a_third_partys_metric_is_described_by_its_records() -> None:
    found = describe("bleurt_score", [row(record(metrics=[metric("bleurt_score", 0.4)]))])
    assert (found.label, found.higher_is_better, found.quality) == ("bleurt score", True, True)


def test_an_unknown_address_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean accuracy"):
        describe("acuracy")
