"""Latencies in reports: addresses of sizes and forms, overheads, tables beside the base, published numbers, claims."""

from __future__ import annotations

from typing import Any

import pytest
from record_factory import environment, record

from harness.analysis.claims import check_claim
from harness.analysis.columns import Row, describe, row, rows
from harness.analysis.flat import flat
from harness.analysis.groups import AxisOrder
from harness.analysis.latency import latency_tables
from harness.analysis.reference_files import reference_table
from harness.analysis.statistics import Error
from harness.analysis.table import Table
from harness.analysis.tables import result_table
from harness.records.measured import BatchLatency, Latency, Timing
from harness.records.parts import LatencyForm, Percentiles
from harness.records.schema import Record
from harness.suite.schema import Claim, TableLayout

SIZES = ((1, 64), (1, 128), (8, 64))


def times(ms: float, spread: float = 0.5) -> Percentiles:
    return Percentiles(p50=ms, p90=ms + spread, p99=ms + 2 * spread)


def generation(form: LatencyForm, batch_size: int, prompt_tokens: int, ms: float) -> Latency:
    return Latency(
        batch_size=batch_size, prompt_tokens=prompt_tokens, new_tokens=4, repeats=20, form=form,
        ttft_ms=times(ms), tpot_ms=times(ms / 10), e2e_ms=times(2 * ms), tokens_per_second=1000 / ms,
    )  # fmt: skip


def batch(form: LatencyForm, batch_size: int, tokens: int, ms: float) -> BatchLatency:
    return BatchLatency(batch_size=batch_size, tokens=tokens, batch_ms=times(ms), samples_per_second=batch_size * 1000 / ms, repeats=5, form=form)


def served(forms: dict[LatencyForm, float], **fields: Any) -> Record:
    """A decoder's cell: forms -> milliseconds to the first token at batch 1 with 64 tokens; twice that with 128, five times at batch 8."""
    factor = {(1, 64): 1, (1, 128): 2, (8, 64): 5}
    found = [generation(form, *size, ms * factor[size]) for size in reversed(SIZES) for form, ms in forms.items()]
    return record(latency=found, source="random:gpt2-medium", **fields)


def untuned(ms: float, form: LatencyForm = "base", **fields: Any) -> Record:
    return served({form: ms}, method="none", training=None, **fields)


def values(found: Row) -> dict[str, float | None]:
    return {key: reading.value for key, reading in found.readings.items()}


def lines(table: Table) -> list[list[str]]:
    return [[entry.text + "".join(entry.marks) for entry in line] for line in table.rows]


def only(found: list[Table], name: str) -> Table:
    (table,) = [table for table in found if table.name == name]
    return table


def tables(*records: Record) -> list[Table]:
    return list(latency_tables(rows(records), AxisOrder()))


def test_every_size_form_and_percentile_has_an_address() -> None:
    read = values(row(served({"base": 10.0, "unmerged": 12.0, "merged": 10.5})))
    assert read["latency.ttft_ms.p50:b8-p64:merged"] == pytest.approx(52.5)
    assert read["latency.e2e_ms.p99:b1-p128:before"] == 41.0, "before tuning: the base"
    assert (read["latency.tpot_ms.p90:b1-p64:after"], read["latency.tokens_per_second:b1-p64"]) == (1.7, 1000 / 12)


def test_without_a_form_the_tuned_model_is_meant_and_without_a_size_the_smallest() -> None:
    read = values(row(served({"base": 10.0, "merged": 10.5, "unmerged": 12.0})))
    assert read["latency.ttft_ms.p50"] == read["latency.ttft_ms.p50:b1-p64"] == read["latency.ttft_ms.p50:after"] == 12.0
    assert read["latency.ttft_ms.p50:merged"] == 10.5
    assert values(row(served({"base": 10.0, "merged": 10.5})))["latency.ttft_ms.p50"] == 10.5
    assert values(row(untuned(10.0)))["latency.ttft_ms.p50"] == 10.0


def test_overheads_are_in_percent_of_the_base_of_the_same_cell_and_size() -> None:
    read = values(row(served({"base": 10.0, "unmerged": 12.0, "merged": 10.0})))
    assert read["latency.ttft_overhead:b1-p128"] == pytest.approx(20.0)
    assert (read["latency.tpot_overhead:merged"], read["latency.e2e_overhead:b8-p64:merged"]) == (0.0, 0.0)
    assert not any("overhead" in key for key in values(row(served({"unmerged": 12.0})))), "nobody measured the base"
    assert "latency.ttft_overhead:b1-p64:before" not in read


def test_a_record_without_what_came_later_is_read() -> None:
    old = Latency(batch_size=1, prompt_tokens=64, new_tokens=1, ttft_ms=times(9.0), tpot_ms=None, tokens_per_second=1.0)
    found = row(record(latency=[old]))
    assert found.reading("latency.ttft_ms.p50") is not None
    assert found.reading("latency.e2e_ms.p50") is None
    assert [table.name for table in latency_tables([found], AxisOrder())] == ["latency-ttft-ms"]


def test_models_with_a_task_head_have_addresses_of_their_own() -> None:
    read = values(row(record(batch_latency=[batch("base", 4, 32, 8.0), batch("unmerged", 4, 32, 10.0)])))
    assert (read["batch_latency.batch_ms.p50:b4-p32"], read["batch_latency.batch_overhead"]) == (10.0, pytest.approx(25.0))
    assert read["batch_latency.samples_per_second:before"] == 500.0
    assert not any(key.startswith("latency.") for key in read)


@pytest.mark.parametrize(
    ("key", "label", "unit"),
    [
        ("latency.ttft_ms.p50:b8-p64:merged", "first token p50 (batch 8, prompt 64) after merging", "ms"),
        ("latency.ttft_overhead:b1-p128", "first token overhead (batch 1, prompt 128)", "%"),
        ("batch_latency.samples_per_second", "answered samples/s", "1/s"),
    ],
)
def test_addresses_are_described(key: str, label: str, unit: str) -> None:
    found = describe(key)
    assert (found.label, found.unit) == (label, unit)


def test_a_spreadsheet_has_every_size_and_form_in_a_column_of_its_own() -> None:
    cells = flat(record(latency=[generation("base", 1, 64, 3.0), generation("base", 1, 128, 4.0)], batch_latency=[batch("merged", 2, 8, 5.0)]))
    assert (cells["latency.b1-p64.base.ttft_ms.p50"], cells["latency.b1-p128.base.ttft_ms.p50"]) == (3.0, 4.0)
    assert (cells["batch_latency.b2-p8.merged.repeats"], cells["latency.b1-p64.base.new_tokens"]) == (5, 4)


def test_a_table_has_a_row_for_each_form_and_a_column_for_each_size_with_the_time_above_the_base() -> None:
    found = only(tables(served({"base": 10.0, "unmerged": 13.0, "merged": 10.25}, method="lora"), served({"base": 20.0, "unmerged": 18.0}, method="ia3")), "latency-ttft-ms")
    assert found.header == ["method", "form", "batch 1, prompt 64", "batch 1, prompt 128", "batch 8, prompt 64"]
    assert lines(found) == [
        ["ia3", "base", "20.0 ms", "40.0 ms", "100.0 ms"],
        ["ia3", "unmerged", "18.0 ms (−10.0 %)", "36.0 ms (−10.0 %)", "90.0 ms (−10.0 %)"],
        ["lora", "base", "10.0 ms", "20.0 ms", "50.0 ms"],
        ["lora", "unmerged", "13.0 ms (+30.0 %)", "26.0 ms (+30.0 %)", "65.0 ms (+30.0 %)"],
        ["lora", "merged", "10.2 ms (+2.5 %)≈", "20.5 ms (+2.5 %)≈", "51.2 ms (+2.5 %)"],
    ]
    assert "≈" in found.footnotes
    assert "Medians over n = 20 repeats." in found.notes
    assert "Tokens generated after every prompt: 4." in found.notes


def test_there_is_a_table_for_each_kind_of_latency_that_was_measured() -> None:
    found = tables(served({"unmerged": 10.0}), record(method="ia3", batch_latency=[batch("unmerged", 1, 8, 2.0)]))
    assert [table.name for table in found] == ["latency-ttft-ms", "latency-tpot-ms", "latency-e2e-ms", "batch-latency-batch-ms"]
    assert lines(found[3]) == [["ia3", "unmerged", "2.0 ms"]]
    assert "Medians over n = 5 repeats." in found[3].notes
    assert tables(record()) == []


@pytest.mark.parametrize("form", ["base", "unmerged"])
def test_a_cell_without_a_base_of_its_own_is_compared_with_the_one_that_tunes_nothing_under_its_scheme(form: LatencyForm) -> None:
    """Records of methods that tune nothing once called their only form unmerged."""
    schemes = [(untuned(base, form, quantization=scheme), served({"unmerged": 12.0}, quantization=scheme)) for scheme, base in (("none", 10.0), ("nf4", 16.0))]
    found = lines(only(tables(*(each for pair in schemes for each in pair)), "latency-ttft-ms"))
    assert [line[:4] for line in found] == [
        ["none", "none", "base", "10.0 ms"],
        ["none", "lora", "unmerged", "12.0 ms (+20.0 %)"],
        ["nf4", "none", "base", "16.0 ms"],
        ["nf4", "lora", "unmerged", "12.0 ms (−25.0 %)"],
    ]


def test_a_time_taken_while_the_device_was_throttled_has_a_mark() -> None:
    slowed = Timing(phases={"generate_base": 1.0, "generate": 1.0}, throttled={"generate_base": ["SwPowerCap"]})
    found = only(tables(served({"base": 10.0, "unmerged": 12.0}, timing=slowed)), "latency-ttft-ms")
    assert [line[2] for line in lines(found)] == ["10.0 ms§", "12.0 ms (+20.0 %)"]
    assert "§" in found.footnotes


def test_another_devices_base_is_none() -> None:
    elsewhere = untuned(10.0, environment=environment(cpu="Another CPU"))
    assert lines(only(tables(elsewhere, served({"unmerged": 12.0})), "latency-ttft-ms"))[1][:3] == ["lora", "unmerged", "12.0 ms"]


def test_seeds_are_averaged_and_their_spread_says_what_is_a_tie() -> None:
    agreeing = [served({"base": 10.0 + seed, "unmerged": 11.0 + seed + 0.01 * seed}, seed=seed) for seed in range(3)]
    differing = [served({"base": 10.0, "unmerged": 11.0 + 9.0 * (seed - 1)}, seed=seed) for seed in range(3)]
    found = only(tables(*agreeing), "latency-ttft-ms")
    assert lines(found)[1][2] == "12.0 ms (+9.2 %)"
    assert "Medians over n = 20 repeats, means of these over n = 3 seeds." in found.notes
    assert lines(only(tables(*differing), "latency-ttft-ms"))[1][2] == "11.0 ms (+10.0 %)≈"


def test_noise_that_was_measured_counts_before_the_spread_of_repetitions() -> None:
    cell = row(served({"base": 10.0, "unmerged": 13.0}))
    noisy = cell.with_repeated({key: Error(5.0, 9) for key in cell.readings})
    assert lines(only(list(latency_tables([cell], AxisOrder())), "latency-ttft-ms"))[1][2] == "13.0 ms (+30.0 %)"
    assert lines(only(list(latency_tables([noisy], AxisOrder())), "latency-ttft-ms"))[1][2] == "13.0 ms (+30.0 %)≈"


def test_published_latencies_stand_beside_their_size_and_form_alone() -> None:
    cells = rows([served({"base": 10.0, "unmerged": 12.0, "merged": 10.0}, method="lora"), served({"unmerged": 13.0}, method="houlsby")])

    def published(metric: str) -> dict[str, str]:
        table = result_table(cells, TableLayout(rows=["method"], metric=metric, reference="lora_latency.table1"), AxisOrder())
        beside = [at for at, column in enumerate(table.columns) if column.label.endswith(" paper")]
        return {line[0].text: line[beside[0]].text for line in table.rows} if beside else {}

    def measured_at(batch_size: int, prompt: int) -> str:
        for each in cells:
            each.record.latency.extend(generation(form, batch_size, prompt, 9.0) for form in ("unmerged", "merged"))
        cells[:] = rows([each.record for each in cells])
        return f"latency.ttft_ms.p50:b{batch_size}-p{prompt}"

    key = measured_at(32, 512)
    assert published(key) == {"lora": "–", "houlsby": "1492.2 (trainable=0.5M, std=1.0)"}
    assert published(f"{key}:merged")["lora"] == "1449.4 (std=0.8)"
    assert published("latency.ttft_ms.p50:b1-p64") == {}, "the paper has no such size"
    assert published("latency.ttft_ms.p50:b1-p128")["houlsby"] == "25.8 (trainable=11M, std=2.2)"


def test_the_papers_overheads_are_those_of_its_times() -> None:
    """As printed: to a tenth of a percent (the first row's adapters differ by their own rounding)."""
    _, printed_times = reference_table("lora_latency.table1")
    _, overheads = reference_table("lora_latency.table1_overhead")
    base = {row.part: row.value for row in printed_times.numbers if row.method == "full"}
    found = {(row.method, row.part): row.value for row in printed_times.numbers}
    assert len(overheads.numbers) == 6
    for row_ in overheads.numbers:
        computed = 100 * (found[row_.method, row_.part] / base[row_.part] - 1)
        assert row_.value == pytest.approx(computed, abs=0.1)


def claim(left: str, right: Any, relation: str = "<", **fields: Any) -> Claim:
    return Claim.model_validate({"id": "x", "source": "here", "left": {"metric": left}, "relation": relation, "right": right} | fields)


def test_a_claim_compares_overheads_at_two_sizes_of_one_cell() -> None:
    cells = []
    for seed in range(3):
        found = [generation(form, *size, ms) for size, base, ms_ in (((1, 128), 10.0, 13.0 + 0.01 * seed), ((8, 128), 50.0, 51.0)) for form, ms in (("base", base), ("unmerged", ms_))]
        cells.append(record(seed=seed, latency=found, source="random:gpt2-medium"))
    checked = check_claim(rows(cells), claim("latency.ttft_overhead:b1-p128", {"metric": "latency.ttft_overhead:b8-p128"}, ">"))
    assert checked.verdict == "reproduced", checked.sentence
    merged = claim("latency.ttft_overhead:b1-p128", 0, "within", margin=2)
    assert check_claim(rows(cells), merged).verdict == "not reproduced"


def test_a_claim_on_a_size_that_nobody_measured_names_the_nearest() -> None:
    checked = check_claim(rows([served({"unmerged": 10.0})]), claim("latency.ttft_ms.p50:b1-p12", 1))
    assert checked.verdict == "inconclusive"
    assert "unknown measured latency 'latency.ttft_ms.p50:b1-p12'; did you mean latency.ttft_ms.p50:b1-p128?" in checked.sentence
