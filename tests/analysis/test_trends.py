"""Claims over an axis, of the best of a group, and the guard that keeps unlike things apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pydantic import ValidationError
from record_factory import metric, record

from harness.analysis.claims import CheckedClaim, check_claim
from harness.analysis.columns import rows
from harness.analysis.seeds_needed import Judged, seeds_needed
from harness.analysis.statistics import Interval
from harness.records.schema import Record
from harness.suite.schema import Claim

SWEPT = "train.learning_rate"


def check(records: Sequence[Record], **claim: Any) -> CheckedClaim:
    given: dict[str, Any] = {"id": "c", "source": "a paper", "left": {"metric": "accuracy", "where": {"method": "lora"}}}
    return check_claim(rows(records), Claim.model_validate(given | claim))


def swept(accuracies: Mapping[float, Sequence[float]], **fields: Any) -> list[Record]:
    """One cell per value of the swept field and seed."""
    return [
        record(seed=seed, sweep={SWEPT: value}, metrics=[metric(value=accuracy)], **fields)
        for value, found in accuracies.items()
        for seed, accuracy in enumerate(found)
    ]


RISES = {0.1: [0.50, 0.51, 0.52], 0.2: [0.60, 0.61, 0.62], 0.4: [0.70, 0.71, 0.72]}
FLAT_AFTER = {0.1: [0.50, 0.51, 0.52], 0.2: [0.700, 0.710, 0.720], 0.4: [0.701, 0.710, 0.721]}


def test_what_rises_at_every_step_increases_and_does_not_decrease() -> None:
    found = check(swept(RISES), relation="increases", over=SWEPT)
    assert found.verdict == "reproduced"
    assert found.sentence.startswith("accuracy 51.00 at 0.1, 61.00 at 0.2, 71.00 at 0.4; from first to last +20.00")
    assert check(swept(RISES), relation="decreases", over=SWEPT).verdict == "not reproduced"


def test_a_rise_smaller_than_claimed_or_with_a_sure_dip_is_direction_only() -> None:
    assert check(swept(RISES), relation="increases", over=SWEPT, margin=30.0).verdict == "direction only"
    dips = {**RISES, 0.3: [0.40, 0.41, 0.42]}
    assert check(swept(dips), relation="increases", over=SWEPT).verdict == "direction only"


def test_a_rise_inside_the_noise_is_inconclusive() -> None:
    noisy = {0.1: [0.5, 0.7, 0.6], 0.2: [0.7, 0.5, 0.62]}
    found = check(swept(noisy), relation="increases", over=SWEPT)
    assert found.verdict == "inconclusive"
    assert found.sentence.endswith("More than 1000 seeds would be needed to settle it.")
    assert "seeds would settle it" in check(swept({0.1: [0.5, 0.7, 0.6], 0.2: [0.7, 0.73, 0.86]}), relation="plateaus", over=SWEPT, since=0.1, margin=1.0).sentence


def test_a_plateau_begins_where_nothing_changes_any_more() -> None:
    found = check(swept(FLAT_AFTER), relation="plateaus", over=SWEPT, since=0.2, margin=1.0)
    assert found.verdict == "reproduced"
    assert check(swept(FLAT_AFTER), relation="plateaus", over=SWEPT, since=0.1, margin=1.0).verdict == "not reproduced"
    alone = check(swept(FLAT_AFTER), relation="plateaus", over=SWEPT, since=0.4, margin=1.0)
    assert (alone.verdict, alone.sentence) == ("inconclusive", "Fewer than two points from train.learning_rate = 0.4 on: 0.1, 0.2, 0.4.")


def crossing(last: float) -> list[Record]:
    ours = swept({0.1: [0.50, 0.51], 0.4: [0.80, 0.81]})
    return [*ours, *swept({0.1: [0.60, 0.61], 0.4: [last, last + 0.01]}, method="full")]


def test_two_methods_cross_where_the_worse_one_becomes_the_better() -> None:
    claim = {"relation": "crosses", "over": SWEPT, "right": {"metric": "accuracy", "where": {"method": "full"}}}
    found = check(crossing(0.70), **claim)
    assert found.verdict == "reproduced"
    assert "−10.00" in found.sentence
    assert "+10.00" in found.sentence
    assert check(crossing(0.70), **claim, margin=20.0).verdict == "direction only"
    assert check(crossing(0.90), **claim).verdict == "not reproduced"


def test_a_trend_goes_over_a_field_of_the_method_in_the_order_of_numbers() -> None:
    records = [
        record(method=f"lora-r{rank}", seed=seed, metrics=[metric(value=0.5 + rank / 100 + seed / 1000)], config={"method": {"method": "lora", "r": rank}})
        for rank in (16, 2, 8)
        for seed in (0, 1)
    ]
    found = check(records, left={"metric": "accuracy", "where": {"method": "lora-*"}}, relation="increases", over="method.r")
    assert found.verdict == "reproduced"
    assert found.sentence.startswith("accuracy 52.05 at 2, 58.05 at 8, 66.05 at 16;")


def test_a_trend_without_two_points_says_which_there_are() -> None:
    found = check(swept({0.1: [0.5, 0.6]}), relation="increases", over=SWEPT)
    assert (found.verdict, found.sentence) == ("inconclusive", "Fewer than two points of train.learning_rate among method: lora: 0.1.")


def group(**accuracies: Sequence[float]) -> list[Record]:
    return [record(method=name, seed=seed, metrics=[metric(value=value)]) for name, found in accuracies.items() for seed, value in enumerate(found)]


BEST = {"relation": "best", "right": {"metric": "accuracy", "where": {"method": "*"}}}


def test_the_best_is_beaten_by_nobody() -> None:
    found = check(group(lora=[0.80, 0.81], full=[0.70, 0.71], bitfit=[0.60, 0.61]), **BEST)
    assert found.verdict == "reproduced"
    assert "the strongest of 2 others, full: +10.00" in found.sentence
    assert check(group(lora=[0.80, 0.81], full=[0.90, 0.91]), **BEST).verdict == "not reproduced"
    assert check(group(lora=[0.80, 0.81], full=[0.805, 0.816]), **BEST, margin=2.0).verdict == "reproduced"


def test_the_best_of_a_tie_is_inconclusive_and_of_a_cost_the_lowest() -> None:
    found = check(group(lora=[0.80, 0.90, 0.81], full=[0.82, 0.86, 0.79], bitfit=[0.10, 0.11, 0.12]), **BEST)
    assert found.verdict == "inconclusive"
    assert "against the strongest of 2 others, full: +1.33" in found.sentence
    assert found.sentence.endswith("About 98 seeds would settle it, if the mean stays.")
    slow = [record(method="full", seed=seed, train_seconds=20.0 + seed) for seed in (0, 1)]
    fast = [record(method="lora", seed=seed, train_seconds=10.0 + seed) for seed in (0, 1)]
    sides = {"left": {"metric": "timing.train", "where": {"method": "lora"}}, "right": {"metric": "timing.train", "where": {"method": "*"}}}
    assert check([*slow, *fast], relation="best", **sides).verdict == "reproduced"


def against(left: dict[str, Any], right: dict[str, Any], metric_name: str = "accuracy", **claim: Any) -> CheckedClaim:
    records = [
        record(method=method, seed=seed, metrics=[metric(value=0.8 + seed / 100)], config={"train": train})
        for method, train in (("lora", left), ("full", right))
        for seed in (0, 1)
    ]
    sides = {"left": {"metric": metric_name, "where": {"method": "lora"}}, "right": {"metric": metric_name, "where": {"method": "full"}}}
    return check(records, relation="within", margin=100.0, **sides, **claim)


def test_cells_that_differ_in_what_confounds_are_not_comparable_and_the_field_is_named() -> None:
    found = against({"max_length": 128}, {"max_length": 256})
    assert (found.verdict, found.sentence) == ("not comparable", "train.max_length differs: 128 against 256 (tiny / none / lora / rte / seed 0).")
    assert against({"max_length": 128}, {"max_length": 256}, allow=["train.max_length"]).verdict == "reproduced"
    assert against({"learning_rate": 1e-4}, {"learning_rate": 1e-5}).verdict == "reproduced"


def test_a_micro_batch_confounds_costs_and_not_quality() -> None:
    one, other = ({"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps} for batch, steps in ((4, 4), (16, 1)))
    assert against(one, other).verdict == "reproduced"
    found = against(one, other, "memory.peak_vram")
    assert found.verdict == "not comparable"
    assert "train.per_device_train_batch_size differs: 4 against 16" in found.sentence
    assert against(one, other | {"per_device_train_batch_size": 4}).verdict == "not comparable"


def test_counts_are_compared_whatever_differs() -> None:
    found = against({"max_length": 128}, {"max_length": 256}, "parameters.trainable")
    assert found.verdict == "reproduced"


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ({"relation": "increases"}, "increases needs `over`"),
        ({"relation": "within"}, "within needs `right`"),
        ({"relation": "within", "right": 1.0, "over": "seed"}, "within takes no `over`"),
        ({"relation": "plateaus", "over": "seed"}, "plateaus needs `since`"),
        ({"relation": "best", "right": 0.5}, "needs cells on its right side"),
        ({"relation": "best", "right": {"metric": "f1"}}, "compares one number"),
        ({"relation": "crosses", "over": "seed", "right": {"metric": "accuracy", "when": "before"}}, "compares one number"),
        ({"relation": "increases", "over": "seed", "right": 0.5}, "increases takes no `right`"),
    ],
)
def test_a_claim_without_what_its_relation_needs_is_refused(claim: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        check([], **claim)


def test_seeds_needed_are_those_that_keep_the_interval_off_the_bounds() -> None:
    wide = Judged(1.0, Interval(-1.0, 3.0), (0.0,))
    assert seeds_needed([wide], 3) == "About 12 seeds would settle it, if the mean stays."
    assert seeds_needed([wide, Judged(1.0, Interval(0.5, 1.5), (0.0,))], 3) == "About 12 seeds would settle it, if the mean stays."
    assert seeds_needed([wide, Judged(1.0, Interval(-2.0, 4.0), (0.0,))], 3) == "About 27 seeds would settle it, if the mean stays."
    assert seeds_needed([wide, Judged(0.0, Interval(-1.0, 1.0), (0.0,))], 3) == "No number of seeds would settle it: the mean lies on the bound."
    assert seeds_needed([Judged(0.1, Interval(-10.0, 10.2), (0.0,))], 3) == "More than 1000 seeds would be needed to settle it."


def test_an_inconclusive_claim_says_how_many_seeds_would_do() -> None:
    records = group(lora=[0.80, 0.90, 0.85], full=[0.82, 0.86, 0.83])
    found = check(records, relation=">", right={"metric": "accuracy", "where": {"method": "full"}})
    assert found.verdict == "inconclusive"
    assert "seeds would settle it" in found.sentence


def test_all_training_rows_are_the_last_point_of_their_number() -> None:
    sizes = {None: 0.9, 100: 0.6, 500: 0.7}
    found = check(
        [record(task=f"rte-{size}", config={"task": {"max_train_samples": size}}, seed=seed, metrics=[metric(value=value + seed / 100)]) for size, value in sizes.items() for seed in (0, 1)],
        relation="increases", over="task.max_train_samples",
    )  # fmt: skip
    assert (found.verdict, found.sentence.partition(";")[0]) == ("reproduced", "accuracy 60.50 at 100, 70.50 at 500, 90.50 at all")


def test_an_axis_may_be_a_field_of_a_section_of_a_part() -> None:
    budgets = {"small": 0.08, "large": 0.65}
    records = [
        record(method=f"lora-{name}", seed=seed, config={"method": {"budget": {"percent": percent}}}, metrics=[metric(value=0.7 + seed / 1000)])
        for name, percent in budgets.items()
        for seed in (0, 1)
    ]
    of_lora = {"metric": "accuracy", "where": {"method": "lora-*"}}
    assert check(records, left=of_lora, relation="plateaus", over="method.budget.percent", since=0.08, margin=1.0).verdict == "reproduced"
    found = check(records, left=of_lora, relation="increases", over="method.budget")
    assert (found.verdict, found.sentence) == ("inconclusive", "Fewer than two points of method.budget among method: lora-*: none.")


def test_along_a_swept_field_of_a_task_tasks_are_paired_one_by_one() -> None:
    records = [
        record(task=task, sweep={"task.max_train_samples": size}, metrics=[metric(value=level + size / 10_000)])
        for task, level in (("rte", 0.5), ("sst2", 0.9))
        for size in (100, 500)
    ]
    found = check(records, relation="increases", over="task.max_train_samples")
    assert "from first to last +4.00 [+4.00, +4.00]" in found.sentence
