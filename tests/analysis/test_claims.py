"""Claims: every verdict, what is paired with what, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from record_factory import MIB, environment, metric, record

from harness.analysis.claims import CheckedClaim, check_claim
from harness.analysis.columns import rows
from harness.analysis.statistics import Interval
from harness.analysis.verdicts import judge
from harness.records.measured import Memory
from harness.records.schema import Metric, Record
from harness.suite.schema import Claim


def check(records: Sequence[Record], **claim: Any) -> CheckedClaim:
    given: dict[str, Any] = {
        "id": "c", "source": "a paper", "relation": "within", "margin": 1.0,
        "left": {"metric": "accuracy", "where": {"quantization": "nf4"}},
        "right": {"metric": "accuracy", "where": {"quantization": "none"}},
    }  # fmt: skip
    return check_claim(rows(records), Claim.model_validate(given | claim))


def both(left: Sequence[float], right: Sequence[float], stderr: float | None = None, **fields: Any) -> list[Record]:
    """One nf4 and one unquantized cell per seed with those accuracies."""
    found = []
    for quantization, values in (("nf4", left), ("none", right)):
        for seed, value in enumerate(values):
            found.append(record(quantization=quantization, seed=seed, metrics=[metric(value=value, stderr=stderr)], **fields))
    return found


def test_within_one_point_of_a_hundred_is_reproduced() -> None:
    found = check(both([0.800, 0.810, 0.790], [0.801, 0.812, 0.791]))
    assert found.verdict == "reproduced"
    assert "difference −0.13" in found.sentence
    assert "over 3 pairs" in found.sentence
    assert found.sentence.endswith("claimed: equal within 1.00.")


def test_a_margin_of_one_is_one_point_and_not_a_hundred() -> None:
    assert check(both([0.70, 0.71, 0.70], [0.80, 0.81, 0.80])).verdict == "not reproduced"


def test_a_difference_of_the_claimed_direction_but_less_is_direction_only() -> None:
    records = both([0.80, 0.81, 0.82], [0.78, 0.79, 0.80])
    assert check(records, relation=">", margin=5.0).verdict == "direction only"
    assert check(records, relation=">", margin=1.0).verdict == "reproduced"
    assert check(records, relation="<", margin=0.0).verdict == "not reproduced"


def test_pairs_that_scatter_too_widely_are_inconclusive() -> None:
    assert check(both([0.70, 0.90, 0.80], [0.80, 0.79, 0.81])).verdict == "inconclusive"


def test_pairing_by_seed_sees_what_the_means_hide() -> None:
    records = both([0.51, 0.71, 0.91], [0.50, 0.70, 0.90])
    assert check(records, relation=">", margin=0.0).verdict == "reproduced"


def test_one_pair_is_judged_by_the_standard_errors() -> None:
    assert check(both([0.80], [0.60], stderr=0.02), relation=">", margin=0).verdict == "reproduced"
    assert check(both([0.80], [0.79], stderr=0.02), relation=">", margin=0).verdict == "inconclusive"


def test_one_pair_without_standard_errors_is_inconclusive() -> None:
    found = check(both([0.9], [0.1]), relation=">", margin=0)
    assert found.verdict == "inconclusive"
    assert "noise is unknown" in found.sentence


def test_untuned_repetitions_do_not_pass_for_certainty() -> None:
    assert check(both([0.52] * 3, [0.50] * 3, stderr=0.03), relation=">", margin=0).verdict == "inconclusive"


def test_untuned_repetitions_without_a_standard_error_say_nothing_of_the_noise() -> None:
    found = check(both([0.52] * 3, [0.50] * 3, training=None), relation=">", margin=0)
    assert found.verdict == "inconclusive"
    assert found.sentence.endswith("No standard error, and nothing was tuned, so that seeds change nothing: the noise is unknown.")


def test_seeds_of_an_untuned_model_do_not_pass_for_as_many_pairs() -> None:
    def two_tasks(seeds: int) -> list[Record]:
        levels = (("rte", 0.60, 0.57), ("sst2", 0.80, 0.75))
        return [cell for task, left, right in levels for cell in both([left] * seeds, [right] * seeds, stderr=0.03, task=task)]

    once, often = (check(two_tasks(seeds), relation=">", margin=0) for seeds in (1, 5))
    assert (once.verdict, often.verdict) == ("inconclusive", "inconclusive")
    figures = "difference +4.00 [−8.71, +16.71]"
    assert figures in once.sentence
    assert figures in often.sentence


def test_different_protocols_are_not_comparable_and_are_named() -> None:
    records = [
        record(quantization="nf4", metrics=[metric(protocol="mmlu/5-shot")]),
        record(metrics=[metric(protocol="mmlu/0-shot")]),
    ]
    found = check(records)
    assert found.verdict == "not comparable"
    assert "mmlu/5-shot against mmlu/0-shot" in found.sentence


def test_memory_of_different_sources_is_not_comparable() -> None:
    cuda = environment(device="cuda", gpu="NVIDIA H200")
    records = [
        record(quantization="nf4", environment=cuda, memory=Memory(peak_vram=5 * MIB, peak_vram_source="nvml_process")),
        record(environment=cuda, memory=Memory(peak_vram=9 * MIB, peak_vram_source="torch_reserved")),
    ]
    sides = {side: {"metric": "memory.peak_vram", "where": {"quantization": name}} for side, name in (("left", "nf4"), ("right", "none"))}
    assert check(records, relation="<", margin=0, **sides).verdict == "not comparable"


def test_a_cell_that_did_not_go_through_is_named_and_leaves_the_claim_open() -> None:
    found = check([*both([0.8, 0.8], [0.8]), record(seed=1, status="oom")])
    assert found.verdict == "inconclusive"
    assert "tiny / none / lora / rte / seed 1 (oom)" in found.sentence


def test_random_weights_are_not_comparable() -> None:
    found = check(both([0.8, 0.8], [0.8, 0.8], source="random:llama-7b"))
    assert found.verdict == "not comparable"
    assert "Random weights" in found.sentence


def test_a_side_that_matches_no_cell_leaves_the_claim_open() -> None:
    found = check(both([0.8], [0.8]), left={"metric": "accuracy", "where": {"quantization": "gptq-*"}})
    assert (found.verdict, found.sentence) == ("inconclusive", "No cell matches the left side (quantization: gptq-*).")


def test_a_metric_that_no_cell_of_a_side_has_is_named() -> None:
    found = check(both([0.8], [0.8]), right={"metric": "nist", "where": {"quantization": "none"}})
    assert (found.verdict, found.sentence) == ("inconclusive", "No cell of the right side (quantization: none) has NIST.")
    unknown = check(both([0.8], [0.8]), right={"metric": "acuracy", "where": {"quantization": "none"}})
    assert (unknown.verdict, unknown.sentence) == ("inconclusive", "unknown metric or quantity 'acuracy'; did you mean accuracy?")


def test_an_axis_that_one_side_names_holds_for_its_partner_too() -> None:
    records = [
        *both([0.80, 0.81], [0.80, 0.81]),
        *both([], [0.1, 0.1], method="full"),
        record(quantization="nf4", method="full", status="unsupported"),
    ]
    right = {"metric": "accuracy", "where": {"quantization": "none", "method": "lora"}}
    assert check(records, right=right).verdict == "reproduced"


def test_tasks_without_the_metric_don_t_count() -> None:
    others = [record(quantization=name, task="stsb", metrics=[metric("pearson", 0.5)]) for name in ("nf4", "none")]
    assert check([*both([0.80, 0.81], [0.80, 0.81]), *others]).verdict == "reproduced"


def test_before_and_after_of_the_same_cells() -> None:
    def metrics(before: float, after: float) -> list[Metric]:
        return [metric(value=before, when="before"), metric(value=after)]

    records = [record(seed=seed, metrics=metrics(0.5 + seed / 100, 0.8)) for seed in range(3)]
    sides = {"left": {"metric": "accuracy"}, "right": {"metric": "accuracy", "when": "before"}}
    assert check(records, relation=">", margin=20, **sides).verdict == "reproduced"


def test_a_given_number_is_in_stored_units() -> None:
    records = both([0.80, 0.81, 0.79], [])
    assert check(records, relation=">", right=0.75, margin=0).verdict == "reproduced"
    assert check(records, relation=">", right=0.95, margin=0).verdict == "not reproduced"


def test_counts_need_no_repetition() -> None:
    sides = {side: {"metric": "parameters.trainable", "where": {"quantization": name}} for side, name in (("left", "nf4"), ("right", "none"))}
    assert check(both([0.8], [0.8]), relation="within", margin=0, **sides).verdict == "reproduced"


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, "reproduced"), (0.1, "direction only"), (2.0, "not reproduced")])
def test_ratios(factor: float, verdict: str) -> None:
    found = check(both([0.400, 0.401, 0.402], [0.800, 0.801, 0.802]), relation="ratio", factor=factor, margin=0.05)
    assert found.verdict == verdict
    assert "ratio 0.5" in found.sentence


def test_a_ratio_surely_on_the_claimed_side_of_one_has_the_direction_where_it_may_have_the_size() -> None:
    records = both([0.30, 0.31, 0.32], [0.995, 1.0, 1.0])
    assert check(records, relation="ratio", factor=0.25, margin=0.055).verdict == "direction only"
    wide = both([0.30, 0.31, 0.95], [0.995, 1.0, 1.0])
    assert check(wide, relation="ratio", factor=0.25, margin=0.055).verdict == "inconclusive"


def test_seeds_that_differ_are_compared_unpaired() -> None:
    records = [record(quantization="nf4", seed=seed, metrics=[metric(value=0.8 + seed / 1000)]) for seed in (0, 1, 2)]
    records += [record(seed=seed, metrics=[metric(value=0.6 + seed / 1000)]) for seed in (3, 4, 5)]
    found = check(records, relation=">", margin=0)
    assert found.verdict == "reproduced"
    assert "over seeds that differ" in found.sentence


@pytest.mark.parametrize(
    ("relation", "low", "high", "margin", "verdict"),
    [
        ("<", -2, -1, 0, "reproduced"),
        ("<", -2, 1, 0, "inconclusive"),
        ("<", 0, 0, 0, "not reproduced"),
        (">", 1, 2, 0, "reproduced"),
        (">", -1, 4, 5, "not reproduced"),
        ("<=", -1, 0.5, 1, "reproduced"),
        ("<=", 0, 2, 1, "inconclusive"),
        ("<=", 1.5, 2, 1, "not reproduced"),
        (">=", -0.5, 3, 1, "reproduced"),
        (">=", -3, -2, 1, "not reproduced"),
        ("within", -1, 1, 1, "reproduced"),
        ("within", -1, 1.1, 1, "inconclusive"),
        ("within", 1.1, 2, 1, "not reproduced"),
    ],
)
def test_verdicts_follow_from_the_interval(relation: Any, low: float, high: float, margin: float, verdict: str) -> None:
    assert judge(relation, Interval(low, high), margin) == verdict
