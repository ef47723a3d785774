"""Rates, waits, MFU and energy per token as addresses, and which of them the cost table shows."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.columns import describe, rows
from harness.analysis.cost import cost_table
from harness.analysis.groups import AxisOrder
from harness.records.measured import Energy, Training
from harness.records.parts import Percentiles
from harness.records.schema import Record
from tests.record_factory import environment, record

ORDER = AxisOrder()
H200 = environment(device="cuda", gpu="NVIDIA H200")
TIMES = Percentiles(p50=1.0, p90=2.0, p99=3.0)


def trained(**fields: Any) -> Record:
    training = Training(steps=9, tokens=90, samples=9, tokens_per_second=100.0, **{"padded_tokens": 120, "padded_tokens_per_second": 130.0, **fields})
    return record(training=training, environment=H200)


def header(found: Record) -> list[str]:
    table = cost_table(rows([found]), ORDER)
    assert table is not None
    return list(table.header)


def test_every_number_of_throughput_has_an_address() -> None:
    (row,) = rows([trained(data_wait_ms=TIMES, data_wait_share=0.25, mfu=0.4, peak_flops=989.5e12)])
    expected = {"training.padded_tokens_per_second": 130.0, "training.data_wait_ms.p90": 2.0, "training.data_wait_share": 0.25, "training.mfu": 0.4}
    for key, value in expected.items():
        reading = row.reading(key)
        assert reading is not None
        assert reading.value == value
        assert describe(key).key == key


def test_shares_of_different_peaks_are_measured_in_different_ways() -> None:
    one, other = rows([trained(mfu=0.4, peak_flops=989.5e12), trained(mfu=0.4, peak_flops=67e12)])
    readings = one.reading("training.mfu"), other.reading("training.mfu")
    assert all(readings)
    assert readings[0].protocol != readings[1].protocol  # type: ignore[union-attr]
    assert "989.5 TFLOP/s" in str(readings[0].protocol)  # type: ignore[union-attr]


@pytest.mark.parametrize(("share", "shown"), [(0.01, False), (0.2, True)])
def test_waits_for_data_are_a_column_only_where_they_matter(share: float, shown: bool) -> None:
    assert ("data wait %" in header(trained(data_wait_share=share))) == shown


def test_what_only_some_machines_tell_is_a_column_there_and_not_missed_elsewhere() -> None:
    plain = cost_table(rows([trained()]), ORDER)
    assert plain is not None
    assert not {"MFU %", "J/token trained", "J/token generated"} & set(plain.header)
    assert not any("MFU" in note or "J/token" in note for note in plain.notes)
    energy = Energy(phases={"train": 9.0}, source="nvml_counter", joules_per_training_token=0.1)
    found = trained(mfu=0.412, peak_flops=989.5e12).model_copy(update={"energy": energy})
    assert {"MFU %", "J/token trained"} <= set(header(found))
    assert "J/token generated" not in header(found)
    table = cost_table(rows([found]), ORDER)
    assert table is not None
    cells = dict(zip(table.header, (entry.text for entry in table.rows[0]), strict=True))
    assert (cells["MFU %"], cells["J/token trained"]) == ("41.20", "0.1")
