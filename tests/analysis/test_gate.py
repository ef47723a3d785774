"""The gate's rules on constructed records: what is a regression, what is not, and what does not compare."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from gate_factory import MIB, cell, compared, environment, metric, plan, repeated, run, shaken, six
from record_factory import write_run

from harness.analysis.gate.chance import holm
from harness.analysis.gate.compare import compare_paths
from harness.errors import DataError, RequestError, UnknownName
from harness.records.measured import Sizes
from harness.records.schema import DataUse, Parameters, Quantization
from harness.records.store import RecordStore


def verdicts(found: Any, key: str) -> set[str]:
    return {change.verdict for change in found.changes if change.number.quantity.key == key}


def test_two_equal_runs_have_nothing_to_object_to(tmp_path: Path) -> None:
    found = compared(tmp_path, six(), six())
    assert (found.verdict, found.exit_code, len(found.pairs)) == ("nothing worse", 0, 6)
    assert not found.of("worse", "better", "undecided", "changed")


def test_twenty_runs_that_differ_by_noise_alone_raise_no_alarm(tmp_path: Path) -> None:
    base = repeated(tmp_path / "base", time=0.08, memory=0.02)
    for night in range(20):
        found = compare_paths(str(base), run(tmp_path / f"night{night}", shaken(1000 + night, time=0.08, memory=0.02)))
        assert found.exit_code == 0, [change.sentence for change in found.worse]


def test_a_slower_step_beyond_tolerance_and_floor_is_caught_and_one_within_the_tolerance_is_not(tmp_path: Path) -> None:
    base = repeated(tmp_path / "base")
    slow = compared(tmp_path / "slow", base, six(step=23.0))
    assert slow.exit_code == 1
    assert {change.number.quantity.key for change in slow.worse} == {"training.step_ms.p50", "training.tokens_per_second"}
    assert compared(tmp_path / "little", base, six(step=21.5)).exit_code == 0


def test_a_change_beyond_its_tolerance_but_within_the_floor_is_noise(tmp_path: Path) -> None:
    found = compared(tmp_path, repeated(tmp_path / "base", time=0.2), six(step=23.0))
    assert "within noise" in verdicts(found, "training.step_ms.p50")
    assert found.exit_code == 0


def test_a_leak_of_memory_is_caught(tmp_path: Path) -> None:
    found = compared(tmp_path, repeated(tmp_path / "base"), six(peak=1200 * MIB))
    assert "memory.peak_vram" in {change.number.quantity.key for change in found.worse}
    assert any("train +20 % memory" in move.sentence for move in found.phases)


def test_a_cost_measured_once_without_repeats_is_undecided_and_fails_only_where_the_gate_says_so(tmp_path: Path) -> None:
    found = compared(tmp_path, six(), six(step=40.0))
    assert verdicts(found, "training.step_ms.p50") == {"undecided"}
    assert found.exit_code == 0
    strict = compared(tmp_path / "strict", six(), six(step=40.0), "undecided: fail\n")
    assert strict.exit_code == 1
    assert strict.worse


def test_a_score_is_judged_item_by_item(tmp_path: Path) -> None:
    assert compared(tmp_path / "a", [cell(accuracy=0.90)], [cell(accuracy=0.80)]).exit_code == 1
    few = compared(tmp_path / "b", [cell(accuracy=0.90)], [cell(accuracy=0.8975)])  # one answer of 400
    assert verdicts(few, "accuracy") == {"within noise"}


def test_a_score_that_repeats_exactly_must_still_exceed_the_noise_of_its_items(tmp_path: Path) -> None:
    base = repeated(tmp_path / "base")
    assert verdicts(compared(tmp_path / "a", base, six(accuracy=0.8975)), "accuracy") == {"within noise"}
    assert verdicts(compared(tmp_path / "b", base, six(accuracy=0.8)), "accuracy") == {"worse"}


def test_without_items_a_score_s_standard_error_is_its_noise(tmp_path: Path) -> None:
    def scored(value: float) -> Any:
        return cell(metrics=[metric("accuracy", value, stderr=0.01)])

    assert verdicts(compared(tmp_path / "a", [scored(0.90)], [scored(0.89)]), "accuracy") == {"within noise"}
    assert verdicts(compared(tmp_path / "b", [scored(0.90)], [scored(0.80)]), "accuracy") == {"worse"}


def test_seeds_tell_the_noise_of_costs_where_nothing_was_repeated(tmp_path: Path) -> None:
    def seeds(factor: float, at: int) -> list[Any]:
        rng = random.Random(at)
        return [cell(method=method, seed=seed, step=20.0 * factor * (1 + rng.gauss(0, 0.01))) for method in ("lora", "ia3", "full") for seed in range(4)]

    assert verdicts(compared(tmp_path / "same", seeds(1.0, 1), seeds(1.0, 2)), "training.step_ms.p50") == {"within tolerance"}
    found = compared(tmp_path / "slow", seeds(1.0, 1), seeds(1.2, 2))
    assert verdicts(found, "training.step_ms.p50") == {"worse"}
    assert {change.chance.by for change in found.worse if change.number.quantity.key == "training.step_ms.p50"} == {"seeds"}
    assert len(found.regressed) == 12


def test_where_both_sides_were_repeated_often_times_are_compared_by_ranks(tmp_path: Path) -> None:
    base = repeated(tmp_path / "base", repeats=9)
    again = repeated(tmp_path / "again", repeats=9)
    found = compare_paths(str(base), again)
    assert {change.chance.by for change in found.changes if change.number.quantity.key == "training.step_ms.p50"} == {"ranks of repeats"}
    assert found.exit_code == 0


def test_zero_variance_leaves_no_chance_to_a_difference_beyond_the_tolerance(tmp_path: Path) -> None:
    base = repeated(tmp_path / "base", time=0.0, memory=0.0)
    assert compared(tmp_path / "same", base, six()).exit_code == 0
    assert verdicts(compared(tmp_path / "slow", base, six(step=23.0)), "training.step_ms.p50") == {"worse"}
    assert verdicts(compared(tmp_path / "near", base, six(step=20.1)), "training.step_ms.p50") == {"within tolerance"}


def test_items_that_are_all_worse_by_the_same_are_a_regression(tmp_path: Path) -> None:
    def windows(nll: float) -> Any:
        return cell(metrics=[metric("perplexity", nll, items=[nll] * 50, n=50)])

    assert verdicts(compared(tmp_path, [windows(10.0)], [windows(11.0)]), "perplexity") == {"worse"}


def test_counts_are_exact_and_fewer_is_better(tmp_path: Path) -> None:
    more = Parameters(total=1_000_100, trainable=10_100, trainable_percent=1.01, added=10_100)
    found = compared(tmp_path / "more", [cell()], [cell(parameters=more)])
    assert verdicts(found, "parameters.trainable") == {"worse"}
    assert verdicts(found, "parameters.total") == {"changed"}
    less = compared(tmp_path / "less", [cell()], [cell(sizes=Sizes(model_bytes=1_000_000, adapter_bytes=40_000))])
    assert verdicts(less, "sizes.model_bytes") == {"better"}
    assert less.exit_code == 0
    assert [event.kind for event in less.events] == ["stored otherwise"]


def test_improvements_are_listed_and_fail_nothing(tmp_path: Path) -> None:
    found = compared(tmp_path, repeated(tmp_path / "base"), six(step=15.0, peak=800 * MIB, accuracy=0.99))
    assert found.exit_code == 0
    assert {change.number.quantity.key for change in found.of("better")} >= {"training.step_ms.p50", "memory.peak_vram", "accuracy"}


@pytest.mark.parametrize(("status", "kind"), [("oom", "out of memory"), ("failed", "failed"), ("diverged", "diverged"), ("timeout", "timeout"), ("unsupported", "unsupported")])
def test_a_cell_that_no_longer_goes_through_is_a_regression_of_its_own_kind(tmp_path: Path, status: str, kind: str) -> None:
    found = compared(tmp_path, six(), [*six()[:-1], cell(quantization="bnb-nf4", method="ia3", status=status)])
    assert found.exit_code == 1
    assert [(event.kind, event.regression) for event in found.events] == [(kind, True)]
    assert "in train: it was" in found.events[0].sentence


@pytest.mark.parametrize(("before", "now", "code"), [("oom", "failed", 1), ("unsupported", "timeout", 1), ("oom", "diverged", 0), ("failed", "oom", 0), ("timeout", "failed", 0)])
def test_a_cell_that_had_a_result_and_now_has_none_is_a_regression(tmp_path: Path, before: str, now: str, code: int) -> None:
    found = compared(tmp_path, [cell(status=before)], [cell(status=now)])
    assert (found.exit_code, found.events[0].sentence[: len(before) + 3 + len(now)]) == (code, f"{before} → {now}")


def test_a_vanished_cell_is_a_regression_and_a_new_one_is_told(tmp_path: Path) -> None:
    found = compared(tmp_path, six(), [*six()[:-1], cell(method="prefix")])
    assert [(event.kind, event.regression) for event in found.events] == [("vanished", True)]
    assert [row.axes["method"] for row in found.new] == ["prefix"]


def test_a_cell_that_recovered_is_told(tmp_path: Path) -> None:
    found = compared(tmp_path, [cell(status="oom"), cell(method="ia3")], [cell(), cell(method="ia3")])
    assert found.exit_code == 0
    assert [event.kind for event in found.events] == ["recovered"]


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_score_that_is_no_number_any_more_is_a_regression(tmp_path: Path, value: float | None) -> None:
    found = compared(tmp_path, [cell()], [cell(metrics=[metric("accuracy", value)])])
    assert [(event.kind, event.regression) for event in found.events] == [("number lost", True)]


def test_a_record_with_nan_on_disk_is_a_regression_that_names_it_and_no_baseline(tmp_path: Path) -> None:
    left, right = run(tmp_path / "a", [cell()]), run(tmp_path / "b", [cell()])
    path = next((right / "records").glob("*.json"))
    values = json.loads(path.read_text())
    values["metrics"][0] |= {"value": float("nan"), "items": None}
    path.write_text(json.dumps(values))
    found = compare_paths(str(left), right)
    assert found.exit_code == 1
    assert [(event.kind, "NaN is no number" in event.sentence) for event in found.events] == [("unreadable", True)]
    assert compare_paths(str(right), left).exit_code == 2


def test_a_cost_that_is_no_longer_measured_is_told_and_fails_nothing(tmp_path: Path) -> None:
    found = compared(tmp_path, [cell()], [cell(training=None)])
    assert found.exit_code == 1  # final loss, a score, is lost
    assert {event.kind for event in found.events} == {"number lost", "cost not measured"}


def test_other_rows_behind_an_unchanged_definition_are_a_regression(tmp_path: Path) -> None:
    def reading(sha: str) -> Any:
        return cell().model_copy(update={"data": [DataUse(role="training", task="rte", split="train", rows=100, sha256=sha)]})

    found = compared(tmp_path, [reading("a")], [reading("b")])
    assert [event.kind for event in found.events] == ["other data"]
    assert found.exit_code == 1


def test_weights_in_other_bits_behind_an_unchanged_definition_are_a_regression_and_another_kernel_is_told(tmp_path: Path) -> None:
    def stored(bits: float | None, kernel: str = "Linear4bit") -> Any:
        weights = None if bits is None else Quantization(layers=1, weights=800, bytes=round(100 * bits), bits_per_weight=bits, kernels={kernel: 1})
        return cell(quantization="bnb-nf4").model_copy(update={"quantization": weights})

    found = compared(tmp_path / "a", [stored(None)], [stored(4.5)])
    assert [(event.kind, found.exit_code) for event in found.events] == [("other weights", 1)]
    assert "unquantized → 4 bit in Linear4bit" in found.events[0].sentence
    assert [event.kind for event in compared(tmp_path / "b", [stored(8.0)], [stored(4.5)]).events] == ["other weights"]
    faster = compared(tmp_path / "c", [stored(4.5)], [stored(4.125, "Marlin4bit")])  # smaller constants, another kernel: no worse
    assert [(event.kind, faster.exit_code) for event in faster.events] == [("stored otherwise", 0)]


def test_another_definition_does_not_compare_and_the_fields_are_named(tmp_path: Path) -> None:
    def trained(rate: float, id_: str) -> Any:
        found = cell(config={"train": {"learning_rate": rate, "logging_steps": 10}})
        return found.model_copy(update={"cell": found.cell.model_copy(update={"id": id_})})

    before, now = [trained(0.005, "c2-a")], [trained(0.05, "c2-b")]
    found = compared(tmp_path / "a", before, now)
    assert (found.verdict, found.exit_code) == ("not comparable", 2)
    assert "train.learning_rate 0.005 → 0.05" in found.obstacles[0].sentence
    assert "logging_steps" not in found.obstacles[0].sentence
    allowed = compared(tmp_path / "b", before, now, allowed=["definition"])
    assert (allowed.exit_code, len(allowed.pairs)) == (0, 1)


def test_another_device_does_not_compare(tmp_path: Path) -> None:
    gpu = environment(device="cuda", gpu="NVIDIA H200", driver="570.1")
    found = compared(tmp_path / "a", six(), six(environment=gpu))
    assert [(obstacle.kind, found.exit_code) for obstacle in found.obstacles] == [("device", 2)]
    assert compared(tmp_path / "b", six(), six(environment=gpu), allowed=["device"]).exit_code == 0


def test_another_protocol_does_not_compare(tmp_path: Path) -> None:
    other = [metric("accuracy", 0.9, protocol="glue/y")]
    found = compared(tmp_path / "a", [cell(accuracy=0.9)], [cell(metrics=other)])
    assert [obstacle.kind for obstacle in found.obstacles] == ["protocol"]
    assert "glue/x against glue/y" in found.obstacles[0].sentence
    assert compared(tmp_path / "b", [cell(accuracy=0.9)], [cell(metrics=other)], allowed=["protocol"]).exit_code == 0


def test_a_run_that_is_still_going_does_not_compare_and_asked_for_nothing_of_it_has_vanished(tmp_path: Path) -> None:
    left = run(tmp_path / "a", six())
    right = run(tmp_path / "b", six()[:4], planned=[each.cell.id for each in six()[4:]])
    found = compare_paths(str(left), right)
    assert (found.exit_code, found.obstacles[0].kind) == (2, "unfinished")
    assert "2 of 6 cells have no record" in found.obstacles[0].sentence
    allowed = compare_paths(str(left), right, allowed=["unfinished"])
    assert (allowed.exit_code, {event.kind for event in allowed.events}) == (0, {"not run"})


def test_an_unreadable_record_of_the_run_is_a_regression_and_one_of_the_baseline_does_not_compare(tmp_path: Path) -> None:
    left, right = run(tmp_path / "a", six()), run(tmp_path / "b", six())
    broken = RecordStore(right).path(six()[0].cell.id)
    broken.write_text(broken.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    found = compare_paths(str(left), right, allowed=["unfinished"])
    assert [event.kind for event in found.events] == ["unreadable"]
    assert "newer than this harness reads" in found.events[0].sentence
    assert compare_paths(str(right), left).exit_code == 2


@pytest.mark.parametrize("name", ["nowhere/x", "missing.jsonl"])
def test_a_baseline_that_is_not_there_is_a_bad_request(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match="no run and no baseline"):
        compare_paths(str(tmp_path / name), run(tmp_path / "b", six()))


def test_bad_requests_say_what_is_wrong(tmp_path: Path) -> None:
    now = run(tmp_path / "now", six())
    with pytest.raises(UnknownName, match="did you mean device"):
        compare_paths(str(now), now, allowed=["devices"])
    with pytest.raises(RequestError, match="holds no record"):
        compare_paths(str(now), plan(write_run(tmp_path / "empty", []), []))
    with pytest.raises(RequestError, match="no cell in common"):
        compare_paths(str(now), run(tmp_path / "other", [cell(task="cola")]))
    with pytest.raises(UnknownName, match="unknown baseline"):
        compare_paths("nightly", now)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(DataError, match="empty baseline"):
        compare_paths(str(empty), now)


def test_a_gate_s_tolerances_and_ignored_quantities_hold(tmp_path: Path) -> None:
    base = repeated(tmp_path / "base")
    gate = 'quantities:\n  "training.*": {tolerance: 30 %}\n  accuracy: {ignore: true}\n'
    found = compared(tmp_path, base, six(step=23.0, accuracy=0.5), gate)
    assert found.exit_code == 0
    assert not verdicts(found, "accuracy")


def test_random_weights_have_no_quality_to_lose(tmp_path: Path) -> None:
    assert compared(tmp_path, [cell(source="random:opt-125m", accuracy=0.9)], [cell(source="random:opt-125m", accuracy=0.1)]).exit_code == 0


def test_holm_stops_at_the_first_that_is_likely_enough() -> None:
    assert holm([0.001, 0.04, 0.03, 0.9], 0.05) == [True, False, False, False]
    assert holm([0.01, 0.02, 0.03], 0.05) == [True, True, True]
    assert holm([], 0.05) == []
