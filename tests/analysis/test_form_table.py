"""The forms of tuned models in reports: addresses, the table of forms, and claims over an axis that one side lacks."""

from __future__ import annotations

from typing import Any

import pytest
from record_factory import MIB, metric, record

from harness.analysis.claims import check_claim
from harness.analysis.columns import describe, row, rows
from harness.analysis.flat import flat
from harness.analysis.forms import form_table
from harness.analysis.groups import AxisOrder
from harness.analysis.schemes import scheme_table
from harness.analysis.table import Table
from harness.quantities import quantity
from harness.records.measured import Latency, Memory, PhaseMemory, Sizes
from harness.records.parts import Form, Percentiles
from harness.records.schema import Record
from harness.suite.schema import Claim

PHASES = {"evaluate": 300, "evaluate_merged": 500, "evaluate_requantized": 200}


def latency(form: Form, batch_size: int, ms: float) -> Latency:
    times = Percentiles(p50=ms, p90=ms, p99=ms)
    return Latency(batch_size=batch_size, prompt_tokens=8, new_tokens=8, ttft_ms=times, tpot_ms=times, tokens_per_second=1.0, form=form)


def formed(after: float = 0.80, merged: float | None = 0.79, requantized: float | None = 0.75, **fields: Any) -> Record:
    """A cell in three forms; None: not evaluated."""
    found = {"before": 0.5, "after": after, "merged": merged, "merged-requantized": requantized}
    memory = Memory(
        phases={phase: PhaseMemory(host_rss=peak * MIB) for phase, peak in PHASES.items()}, peak_vram=900 * MIB, peak_vram_source="host_rss"
    )
    given: dict[str, Any] = {
        "quantization": "nf4",
        "memory": memory,
        "sizes": Sizes(model_bytes=100 * MIB, merged_bytes=400 * MIB, requantized_bytes=100 * MIB),
        "latency": [latency("unmerged", 8, 90.0), latency("merged", 1, 20.0), latency("unmerged", 1, 30.0), latency("merged-requantized", 1, 40.0)],
    }
    return record(metrics=[metric(value=value, when=when, stderr=0.01) for when, value in found.items() if value is not None], **(given | fields))


def lines(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [[entry.text for entry in line] for line in table.rows]


def test_every_form_has_addresses_and_the_final_value_is_that_as_trained() -> None:
    found = row(formed())
    read = {key: found.readings[key].value for key in found.readings}
    assert (read["accuracy"], read["accuracy:merged"], read["accuracy:merged-requantized"]) == (0.80, 0.79, 0.75)
    assert (read["latency.tpot_ms.p50"], read["latency.tpot_ms.p50:after"]) == (30.0, 30.0)
    assert (read["latency.tpot_ms.p50:merged"], read["latency.ttft_ms.p50:merged-requantized"]) == (20.0, 40.0)
    assert (read["sizes.merged_bytes"], read["sizes.requantized_bytes"]) == (400 * MIB, 100 * MIB)
    assert read["memory.evaluate_merged_peak"] == 500 * MIB


@pytest.mark.parametrize(("forms", "final"), [((None, 0.79, 0.75), 0.79), ((None, None, 0.75), 0.75), ((None, None, None), 0.5)])
def test_without_that_form_the_final_value_is_the_next_ones(forms: tuple[float | None, ...], final: float) -> None:
    after, merged, requantized = forms
    kept = formed(0.0, merged, requantized)
    kept.metrics[:] = [each for each in kept.metrics if each.when != "after" or after is not None]
    assert row(kept).readings["accuracy"].value == final


@pytest.mark.parametrize(
    "key", ["timing.requantize", "timing.merge", "memory.evaluate_merged_peak", "sizes.requantized_bytes", "latency.tpot_ms.p50:merged-requantized"]
)
def test_suites_and_reports_know_what_is_measured_of_forms(key: str) -> None:
    assert quantity(key).higher_is_better is False
    assert describe(key).meaning


def test_a_row_for_each_form_with_its_change_and_costs() -> None:
    found = form_table(rows([formed(seed=seed, after=after) for seed, after in ((0, 0.80), (1, 0.82))]), AxisOrder())
    assert [line[1:] for line in lines(found)] == [
        ["unmerged", "accuracy", "81.00 ± 1.41 (n=2)", "–", "300.00 MiB", "100.00 MiB", "30.0 ms", "30.0 ms"],
        ["merged", "accuracy", "79.00 ± 0.00 (n=2)", "−2.00 ± 1.41", "500.00 MiB", "400.00 MiB", "20.0 ms", "20.0 ms"],
        ["merged-requantized", "accuracy", "75.00 ± 0.00 (n=2)", "−6.00 ± 1.41", "200.00 MiB", "100.00 MiB", "40.0 ms", "40.0 ms"],
    ]  # fmt: skip


def test_forms_that_a_cell_does_not_have_are_no_rows_and_without_any_there_is_no_table() -> None:
    records = [formed(method="lora"), formed(method="prompt", merged=None, requantized=None), formed(method="ia3", requantized=None, latency=[])]
    found = lines(form_table(rows(records), AxisOrder()))
    assert [(line[0], line[1]) for line in found] == [
        ("ia3", "unmerged"), ("ia3", "merged"), ("lora", "unmerged"), ("lora", "merged"), ("lora", "merged-requantized"),
    ]  # fmt: skip
    assert form_table(rows([formed(merged=None, requantized=None)]), AxisOrder()) is None


ORDERED = [
    formed(0.80, quantization="none"),
    formed(0.76, sweep={"scheme.order": "quantize-then-tune"}),
    formed(0.70, sweep={"scheme.order": "tune-then-quantize"}),
]


def test_an_axis_of_schemes_does_not_hide_what_a_scheme_costs() -> None:
    found = lines(scheme_table(rows(ORDERED), AxisOrder()))
    assert [(line[1], line[2]) for line in found] == [("quantize-then-tune", "−4.00"), ("tune-then-quantize", "−10.00")]


def test_a_claim_compares_one_order_with_unquantized_weights_which_have_none() -> None:
    claim = Claim.model_validate({
        "id": "x", "source": "here", "relation": "<", "margin": 0,
        "left": {"metric": "accuracy", "where": {"quantization": "nf4", "scheme.order": "tune-*"}},
        "right": {"metric": "accuracy", "where": {"quantization": "none"}},
    })  # fmt: skip
    checked = check_claim(rows(ORDERED), claim)
    assert checked.verdict == "reproduced"
    assert "70.00 against 80.00" in checked.sentence


def test_an_unquantized_record_leaves_the_column_of_its_scheme_alone() -> None:
    assert "quantization" not in flat(record())
