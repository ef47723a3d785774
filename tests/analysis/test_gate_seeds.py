"""The gate where cells were run with several seeds: few seeds see a collapse, seeds that agree do not make two flipped answers a regression."""

from __future__ import annotations

from pathlib import Path

from gate_factory import cell, compared, metric

from harness.analysis.gate.changes import Change
from harness.analysis.gate.compare import Comparison
from harness.records.schema import Record
from harness.report.gate.words import notices

ITEMS = 300


def changes(found: Comparison, key: str) -> list[Change]:
    return [change for change in found.changes if change.number.quantity.key == key]


def seeds(right: list[int], method: str = "lora") -> list[Record]:
    """A cell per seed, of whose 300 answers so many are right, the first ones."""
    return [cell(method=method, seed=seed, accuracy=count / ITEMS, items=ITEMS) for seed, count in enumerate(right)]


def scored(values: list[float], method: str = "lora") -> list[Record]:
    """A cell per seed with a score of which neither items nor an error are known."""
    return [cell(method=method, seed=seed, metrics=[metric("accuracy", value)]) for seed, value in enumerate(values)]


def stepping(*step: float) -> list[Record]:
    """A cell per seed with that step time in milliseconds."""
    return [cell(seed=seed, step=each) for seed, each in enumerate(step)]


def test_a_collapse_is_seen_with_two_seeds_of_one_configuration(tmp_path: Path) -> None:
    found = compared(tmp_path, seeds([240, 246]), seeds([180, 177]))
    (accuracy,) = changes(found, "accuracy")
    assert (accuracy.verdict, accuracy.chance.by, found.exit_code) == ("worse", "seeds and items", 1)


def test_two_answers_that_flip_under_every_seed_are_no_regression(tmp_path: Path) -> None:
    base = [*seeds([240, 242, 245]), *seeds([230, 231, 232], "ia3"), *seeds([200, 201, 202], "full")]
    found = compared(tmp_path, base, [*seeds([238, 240, 243]), *base[3:]])
    assert sorted(change.verdict for change in changes(found, "accuracy")) == ["within noise", "within tolerance", "within tolerance"]
    assert found.exit_code == 0


def test_configurations_that_repeat_exactly_do_not_hide_the_spread_of_one_that_does_not(tmp_path: Path) -> None:
    quiet = [each for at in range(10) for each in scored([0.70, 0.71, 0.72, 0.73], f"quiet-{at}")]
    found = compared(tmp_path, [*scored([0.80, 0.84, 0.82, 0.86]), *quiet], [*scored([0.70, 0.83, 0.73, 0.86]), *quiet])
    assert {change.verdict for change in changes(found, "accuracy") if change.number.difference} == {"within noise"}


def test_a_cost_that_doubled_is_told_where_two_seeds_are_too_few_to_be_sure(tmp_path: Path) -> None:
    found = compared(tmp_path, stepping(20.0, 20.5), stepping(40.0, 41.0))
    assert {change.verdict for change in changes(found, "training.step_ms.p50")} == {"undecided"}
    assert "known from too few measurements" in " ".join(notices(found))
    assert compared(tmp_path / "strict", stepping(20.0, 20.5), stepping(40.0, 41.0), "undecided: fail\n").exit_code == 1
