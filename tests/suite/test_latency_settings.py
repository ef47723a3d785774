"""measure.latency: how it is written, what it does to ids, and addresses of sizes that nothing measures."""

from __future__ import annotations

import pytest
from suites_for_tests import Planned, Problems

from harness.suite.latency import part_of, size_of
from harness.suite.settings import LatencySettings


def id_of(plan: Planned, latency: str) -> str:
    (cell,) = plan(f"measure: {{latency: {{{latency}}}}}", methods="[none]").cells
    return cell.id


def test_settings_as_they_were_before_lists_and_the_base_keep_their_identity() -> None:
    assert LatencySettings(prompt_tokens=32).identity() == {"batch_sizes": [1], "prompt_tokens": 32, "new_tokens": 64, "repeats": 10}


def test_a_list_of_one_length_is_that_length_and_order_and_repetition_say_nothing(plan: Planned) -> None:
    assert id_of(plan, "prompt_tokens: [32]") == id_of(plan, "prompt_tokens: 32")
    assert id_of(plan, "prompt_tokens: [64, 32, 64]") == id_of(plan, "prompt_tokens: [32, 64]") != id_of(plan, "prompt_tokens: 32")


@pytest.mark.parametrize("setting", ["base: true", "warmup_repeats: 2", "repeats: 2", "batch_sizes: [2]", "new_tokens: 2"])
def test_what_changes_a_measurement_changes_the_id(setting: str, plan: Planned) -> None:
    assert id_of(plan, setting) != id_of(plan, "base: false, warmup_repeats: 1")


def test_the_longest_length_is_what_a_model_must_have_room_for() -> None:
    settings = LatencySettings(prompt_tokens=[16, 100], new_tokens=20)
    assert settings.length(generates=True, encoder_decoder=False) == 120
    assert settings.length(generates=True, encoder_decoder=True) == 100, "prompt and answer are in stacks of their own"
    assert settings.length(generates=False, encoder_decoder=False) == 100


@pytest.mark.parametrize(
    ("latency", "message"),
    [
        ("batch_sizes: [0]", "s.yaml:7:35: measure.latency.batch_sizes[0]: expected at least 1, found 0"),
        ("prompt_tokens: 0", "measure.latency.prompt_tokens: expected at least 1"),
        ("prompt_tokens: [8, 0]", "measure.latency.prompt_tokens[1]: expected at least 1"),
        ("prompt_tokens: []", "prompt_tokens: a list needs at least one length"),
        ("prompt_tokens: [long]", "measure.latency.prompt_tokens[0]: expected an integer, found the text 'long'"),
        ("prompt_tokens: long", "measure.latency.prompt_tokens: expected an integer or a list, found the text 'long'"),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be_are_named_with_their_place(latency: str, message: str, problems: Problems) -> None:
    assert any(message in found for found in problems(f"measure: {{latency: {{{latency}}}}}")), problems(f"measure: {{latency: {{{latency}}}}}")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            'claims: [{id: a, source: s, left: {metric: "latency.ttft_ms.p50:b1-p12"}, relation: <, right: 1}]',
            "s.yaml:8:44: claims[0].left.metric: unknown size of measure.latency 'b1-p12'; did you mean b1-p128?",
        ),
        ('report: {tables: [{rows: [method], metric: "batch_latency.batch_ms.p50:b8p64:merged"}]}', "unknown size of measure.latency 'b8p64'; did you mean b8-p64?"),
        ('report: {plots: [{x: "latency.e2e_ms.p99:99", y: accuracy}]}', "unknown size of measure.latency '99'; known: b1-p128, b1-p64, b8-p128, b8-p64"),
        ('report: {tables: [{rows: [method], metric: "latency.ttft_ms.p5"}]}', "unknown metric or quantity 'latency.ttft_ms.p5'; did you mean latency.ttft_ms.p50?"),
    ],
)  # fmt: skip
def test_an_address_at_a_size_that_nothing_measures_is_refused(section: str, message: str, problems: Problems) -> None:
    found = problems(f"measure: {{latency: {{batch_sizes: [1, 8], prompt_tokens: [64, 128]}}}}\n{section}")
    assert any(message in line for line in found), found


def test_an_address_with_a_size_needs_latencies_to_be_measured(problems: Problems) -> None:
    (found,) = problems('report: {tables: [{rows: [method], metric: "latency.ttft_ms.p50:b1-p64"}]}')
    assert "the suite measures no latencies; give it measure.latency" in found


def test_addresses_at_measured_sizes_and_without_one_are_accepted(plan: Planned) -> None:
    keys = ("latency.ttft_ms.p50", "latency.tpot_ms.p50:merged", "latency.e2e_ms.p90:b1-p64", "batch_latency.batch_ms.p50:b1-p64:before", "latency.ttft_overhead:b1-p64:merged")
    tables = ", ".join(f'{{rows: [method], metric: "{key}"}}' for key in keys)
    assert plan(f"measure: {{latency: {{}}}}\nreport: {{tables: [{tables}]}}").cells


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("latency.ttft_ms.p50", None), ("latency.ttft_ms.p50:merged", None), ("latency.ttft_ms.p50:before", None),
        ("latency.ttft_ms.p50:b8-p64", "b8-p64"), ("batch_latency.batch_ms.p99:b8-p64:merged", "b8-p64"), ("accuracy:anatomy", None),
    ],
)  # fmt: skip
def test_the_size_in_an_address(key: str, part: str | None) -> None:
    assert part_of(key) == part


def test_a_size_has_one_way_to_be_written() -> None:
    assert size_of("b8-p64") == (8, 64)
    assert [size_of(text) for text in ("b8", "p64-b8", "b8-p64x", "merged")] == [None] * 4
