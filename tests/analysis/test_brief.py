"""The answer in three sentences."""

from __future__ import annotations

from record_factory import MIB, metric, record

from harness.analysis.brief import brief
from harness.analysis.claims import check_claims
from harness.analysis.columns import rows
from harness.analysis.groups import AxisOrder
from harness.records.measured import Memory, PhaseMemory, Sizes
from harness.records.schema import Record
from harness.suite.schema import Claim

GIB = 1024 * MIB


def cell(method: str, accuracy: float, gigabytes: float, quantization: str = "none") -> Record:
    peak = int(gigabytes * GIB)
    memory = Memory(phases={"train": PhaseMemory(nvml_process=peak)}, peak_vram=peak, peak_vram_source="nvml_process")
    sizes = Sizes(model_bytes=GIB // (4 if quantization != "none" else 1))
    return record(method=method, quantization=quantization, metrics=[metric(value=accuracy, stderr=0.01)], memory=memory, sizes=sizes)


def test_the_best_is_named_with_the_best_of_every_card_that_it_does_not_fit() -> None:
    (sentence,) = brief(rows([cell("full", 0.9, 60), cell("lora", 0.88, 20), cell("ia3", 0.7, 6)]), AxisOrder(), [])
    assert sentence == (
        "Best on tiny, rte: none / full (accuracy 90.00, 60.00 GiB), which no difference beyond the noise tells from 1 other; on a card of 48 GB none / lora (accuracy 88.00, 20.00 GiB); "
        "on a card of 16 GB none / ia3 (accuracy 70.00, 6.00 GiB)."
    )


def test_a_best_that_ties_is_said_to() -> None:
    (sentence,) = brief(rows([cell("full", 0.9, 60), cell("lora", 0.899, 60), cell("ia3", 0.5, 60)]), AxisOrder(), [])
    assert sentence == "Best on tiny, rte: none / full (accuracy 90.00, 60.00 GiB), which no difference beyond the noise tells from 1 other."


def test_what_quantization_cost_is_a_mean_over_pairs_with_its_noise() -> None:
    found = brief(rows([cell("lora", 0.9, 20), cell("lora", 0.5, 10, "nf4")]), AxisOrder(), [])
    assert found[1] == "Against unquantized weights nf4 changed accuracy by −40.00, weights by −75 %."
    near = brief(rows([cell("lora", 0.9, 20), cell("lora", 0.899, 10, "nf4")]), AxisOrder(), [])
    assert "accuracy by −0.10 (within the noise)" in near[1]


def test_claims_are_counted_and_those_that_do_not_hold_are_named() -> None:
    cells = rows([cell("lora", 0.9, 20), cell("full", 0.5, 20)])
    sides = {"left": {"metric": "accuracy", "where": {"method": "lora"}}, "right": {"metric": "accuracy", "where": {"method": "full"}}}
    claims = [Claim.model_validate({"id": name, "source": "x", "relation": relation, **sides}) for name, relation in (("more", ">"), ("less", "<"))]
    assert brief(cells, AxisOrder(), check_claims(cells, claims))[-1] == "1 of 2 claims is reproduced; not reproduced: less."


def test_without_records_nothing_is_said() -> None:
    assert brief([], AxisOrder(), []) == []
