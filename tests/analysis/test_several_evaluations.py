"""Cells that are evaluated on more than their own task: addresses, parts, and what tuning cost elsewhere."""

from __future__ import annotations

from record_factory import metric, record

from harness.analysis.columns import row, rows
from harness.analysis.groups import AxisOrder
from harness.analysis.parts import part_tables
from harness.analysis.table import Table
from harness.analysis.tables import metric_keys
from harness.analysis.tuning import forgetting_table, tuning_table
from harness.records.schema import Metric, Record, Unchanged

ORDER = AxisOrder({"method": ["full", "lora"]})


def evaluations(own: bool = True, **beside: bool) -> dict[str, object]:
    return {"evaluations": {"own": own, "others": [{"id": label, "beside": flag} for label, flag in beside.items()]}}


def both(before: float, after: float, **fields: object) -> list[Metric]:
    return [metric(value=value, when=when, **fields) for value, when in ((before, "before"), (after, "after"))]


def texts(shown: Table | None) -> list[list[str]]:
    assert shown is not None
    return [[entry.text for entry in line] for line in shown.rows]


def cell(method: str, mmlu: tuple[float, float], seed: int = 0, same: bool | None = True) -> Record:
    return record(
        method=method, seed=seed, metrics=[*both(0.5, 0.9), *both(*mmlu, task="mmlu", protocol="mmlu/x")], config=evaluations(mmlu=True),
        base=Unchanged(same=same, metrics=3),
    )  # fmt: skip


def test_the_metric_of_another_evaluation_has_its_label_and_the_cells_own_stays_its_own() -> None:
    found = row(cell("lora", (0.4, 0.3)))
    assert found.reading("accuracy").value == 0.9  # type: ignore[union-attr]
    assert found.reading("accuracy@mmlu").value == 0.3  # type: ignore[union-attr]
    assert found.reading("accuracy@mmlu:before").value == 0.4  # type: ignore[union-attr]


def test_what_stands_in_the_tasks_place_is_found_without_its_label_the_first_of_them() -> None:
    metrics = [*both(0.4, 0.3, task="mmlu"), *both(0.1, 0.2, task="gsm8k"), *both(9.0, 8.0, name="perplexity", task="wiki")]
    found = row(record(metrics=metrics, config=evaluations(own=False, mmlu=False, gsm8k=False, wiki=True)))
    assert found.reading("accuracy") == found.reading("accuracy@mmlu")
    assert found.reading("perplexity:before").value == 9.0  # type: ignore[union-attr]
    assert metric_keys([found]) == ["accuracy@mmlu", "accuracy@gsm8k", "perplexity@wiki"], "tables say what was evaluated"


def test_what_tuning_cost_elsewhere_is_a_table_of_its_own() -> None:
    records = [cell("lora", (0.40, 0.38), 0), cell("lora", (0.40, 0.36), 1), cell("full", (0.40, 0.30), 0), cell("full", (0.40, 0.28), 1)]
    assert texts(forgetting_table(rows(records), ORDER)) == [
        ["full", "accuracy on mmlu", "40.00 ± 0.00", "29.00 ± 1.41", "−11.00 ± 1.41"],
        ["lora", "accuracy on mmlu", "40.00 ± 0.00", "37.00 ± 1.41", "−3.00 ± 1.41"],
    ]
    assert [line[1] for line in texts(tuning_table(rows(records), ORDER))] == ["accuracy", "accuracy"]


def test_without_an_evaluation_beside_the_task_there_is_no_such_table() -> None:
    standing_in = record(metrics=both(0.4, 0.3, task="mmlu"), config=evaluations(own=False, mmlu=False))
    assert forgetting_table(rows([record(metrics=both(0.5, 0.9)), standing_in]), ORDER) is None
    assert texts(tuning_table(rows([standing_in]), ORDER)) == [["lora", "accuracy on mmlu", "40.00", "30.00", "−10.00"]]


def test_before_and_after_of_two_protocols_make_no_change() -> None:
    """A soft prompt takes positions from the context: windows are shorter after tuning."""
    metrics = [metric("perplexity", 6.0, when="before", protocol="gptq-512"), metric("perplexity", 5.0, protocol="gptq-496")]
    found = texts(tuning_table(rows([record(metrics=metrics)]), ORDER))
    assert found == [["lora", "perplexity", "6.000 (gptq-512)", "5.000 (gptq-496)", "different protocols"]]


def test_the_table_says_whether_frozen_bases_stayed_as_they_were() -> None:
    table = forgetting_table(rows([cell("lora", (0.4, 0.3), 0), cell("lora", (0.4, 0.3), 1, same=False), cell("full", (0.4, 0.3), 0, same=None)]), ORDER)
    assert table is not None
    assert any("exactly what it did before training in 1 of 2 cells" in note for note in table.notes)


def test_parts_of_every_evaluation_stand_in_tables_of_their_own() -> None:
    wholes = [metric("accuracy", 0.1), metric("accuracy", 0.25, task="mmlu")]
    metrics = [*wholes, metric("accuracy:law", 0.1), metric("accuracy:law", 0.2, task="mmlu"), metric("accuracy:art", 0.3, task="mmlu")]
    tables = list(part_tables(rows([record(metrics=metrics, config=evaluations(mmlu=True))]), ORDER))
    assert [(table.title, texts(table)) for table in tables] == [
        ("Accuracy on rte in parts", [["law", "10.00"]]),
        ("Accuracy on mmlu in parts", [["law", "20.00"], ["art", "30.00"]]),
    ]
    assert len({table.name for table in tables}) == 2


def test_kinds_of_a_metric_without_a_whole_are_metrics_of_their_own() -> None:
    kinds = [metric("exact_match:strict-match", 0.1), metric("exact_match:flexible-extract", 0.2)]
    found = rows([record(metrics=kinds)])
    assert metric_keys(found) == ["exact_match:strict-match", "exact_match:flexible-extract"]
    assert list(part_tables(found, ORDER)) == []
