"""The table of checkpoints that dev rows chose."""

from __future__ import annotations

from typing import Any

from record_factory import record

from harness.analysis.checkpoints import checkpoint_table
from harness.analysis.columns import rows
from harness.analysis.groups import AxisOrder
from harness.analysis.table import Table
from harness.records.measured import DevValue, Training
from harness.records.schema import Record

ORDER = AxisOrder()


def cell(dev: list[tuple[int, float | None]], best: int | None, stopped: bool | None, metric: str = "accuracy", train: dict[str, Any] | None = None, **fields: Any) -> Record:
    values = [DevValue(step=step, metric=metric, value=value) for step, value in dev]
    training = Training(steps=dev[-1][0] if dev else 30, tokens=1, samples=1, dev=values, best_step=best, stopped_early=stopped)
    return record(training=training, config={"train": {"load_best_model_at_end": True} if train is None else train}, **fields)


def lines(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [[entry.text for entry in row] for row in table.rows]


def test_a_row_says_where_the_dev_rows_scored_best_where_training_ended_and_which_state_was_evaluated() -> None:
    stops = {"early_stopping_patience": 2}
    records = [
        cell([(10, 0.5), (1200, 0.75), (1300, 0.7)], 1200, True, seed=1),
        cell([(10, 0.5)], 10, None, seed=0),
        cell([(5, 2.25), (10, 2.5)], 5, False, "loss", train=stops, method="full"),
    ]
    assert lines(checkpoint_table(rows(records), ORDER)) == [
        ["full", "0", "loss", "5", "2.25", "10", "2.5", "no", "last"],
        ["lora", "0", "accuracy", "10", "50.00", "10", "50.00", "–", "best"],
        ["lora", "1", "accuracy", "1,200", "75.00", "1,300", "70.00", "yes", "best"],
    ]


def test_a_metric_that_was_never_defined_chose_nothing() -> None:
    assert lines(checkpoint_table(rows([cell([(10, None)], None, None)]), ORDER)) == [["lora", "accuracy", "–", "–", "10", "undefined", "–", "last"]]


def test_without_a_choice_there_is_no_table() -> None:
    looked = cell([(10, 0.5)], 10, None, train={"load_best_model_at_end": False, "early_stopping_patience": None})
    drawn = cell([(10, 0.5)], 10, None, source="random:opt-125m", method="full")
    assert checkpoint_table(rows([looked, drawn, record(seed=3), cell([], None, None, seed=4)]), ORDER) is None
