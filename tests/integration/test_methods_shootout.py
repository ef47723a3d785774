"""All methods side by side, as a user runs them: every one trains at its budget, and the report shows them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.records.schema import Record
from harness.records.store import RecordStore

pytestmark = pytest.mark.slow  # a minute: every method has trials of its own


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of the suite's smoke profile."""
    folder = tmp_path_factory.mktemp("shootout") / "run"
    command = [sys.executable, "-m", "harness", "run", "suites/methods_shootout.yaml", "--profile", "smoke", "--out", str(folder), "--jobs", "2"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def records(run: Path) -> dict[str, Record]:
    """By method's label."""
    return {record.cell.method: record for record in RecordStore(run).read_all()[0]}


def test_every_method_goes_through(records: dict[str, Record]) -> None:
    assert len(records) >= 25
    assert {record.outcome.status for record in records.values()} == {"ok"}
    for name, record in records.items():
        if name != "none":
            assert record.training is not None
            assert record.training.steps == 12
            assert {metric.when for metric in record.metrics} == {"before", "after"}, name


def test_methods_with_a_budget_train_that_many_and_the_record_says_which_size(records: dict[str, Record]) -> None:
    budgeted = [record for record in records.values() if record.cell.config["method"].get("budget")]
    assert len(budgeted) >= 10
    untuned = records["none"].parameters
    assert untuned is not None
    head = 258  # 128 x 2 + 2: tuned with every method, counted with none
    for record in budgeted:
        assert record.parameters is not None
        assert record.parameters.chosen
        wanted = 0.04 * untuned.total
        assert abs(record.parameters.trainable - head - wanted) <= 0.25 * wanted, record.cell.method
        assert any(note.startswith("budget: ") for note in record.notes)


def test_what_adalora_left_is_in_the_record_and_drawn(run: Path, records: dict[str, Record]) -> None:
    training = records["adalora"].training
    assert training is not None
    assert training.rank_allocation is not None
    assert sum(training.rank_allocation.values()) == 2 * len(training.rank_allocation), "target_r on average"
    assert len(list((run / "plots").glob("ranks-*.svg"))) == 1
    assert "Where the rank went" in (run / "report.md").read_text(encoding="utf-8")


def test_what_was_tuned_is_saved_small(records: dict[str, Record]) -> None:
    whole = records["none"].sizes.model_bytes
    assert whole is not None
    assert records["full"].sizes.adapter_bytes is None, "the whole model is not kept"
    for name, record in records.items():
        if name not in ("none", "full"):
            assert record.sizes.adapter_bytes is not None, name
            assert 0 < record.sizes.adapter_bytes < whole, name
