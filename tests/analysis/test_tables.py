"""Result tables: numbers, spread, outcomes, protocols, the best, random weights."""

from __future__ import annotations

from collections.abc import Sequence

from record_factory import metric, record

from harness.analysis.columns import rows
from harness.analysis.groups import AxisOrder
from harness.analysis.table import Table
from harness.analysis.tables import result_table, result_tables
from harness.records.schema import Record
from harness.suite.schema import TableLayout

ORDER = AxisOrder({"method": ["none", "full", "lora"], "quantization": ["none", "nf4"]})


def table(records: Sequence[Record], **layout: object) -> Table:
    given = {"rows": ["method", "quantization"], "columns": ["task"], "metric": "accuracy"} | layout
    return result_table(rows(records), TableLayout.model_validate(given), ORDER)


def texts(shown: Table) -> dict[tuple[str, ...], list[str]]:
    """row names -> texts of the measured columns"""
    names = sum(column.names for column in shown.columns)
    return {tuple(entry.text for entry in row[:names]): [entry.text for entry in row[names:]] for row in shown.rows}


def seeds(values: Sequence[float], **fields: object) -> list[Record]:
    return [record(seed=seed, metrics=[metric(value=value)], **fields) for seed, value in enumerate(values)]  # type: ignore[arg-type]


def test_mean_and_sample_standard_deviation_over_seeds_in_points_of_a_hundred() -> None:
    shown = table([*seeds([0.70, 0.72, 0.74]), *seeds([0.60], method="full")])
    assert texts(shown) == {("full", "none"): ["60.00"], ("lora", "none"): ["72.00 ± 2.00 (n=3)"]}


def test_the_number_of_seeds_stands_below_where_all_have_the_same() -> None:
    shown = table(seeds([0.70, 0.72]))
    assert texts(shown) == {("lora", "none"): ["71.00 ± 1.41"]}
    assert "Mean ± sample standard deviation over n = 2 seeds." in shown.notes


def test_a_cell_that_is_not_ok_shows_its_outcome_and_a_missing_one_a_dash() -> None:
    shown = table([*seeds([0.7]), record(method="full", status="oom"), *seeds([0.5], method="none", task="mrpc")])
    assert shown.header == ["method", "quantization", "mrpc", "rte"]
    assert texts(shown) == {("none", "none"): ["50.00", "–"], ("full", "none"): ["–", "oom"], ("lora", "none"): ["–", "70.00"]}


def test_failed_seeds_stand_beside_the_mean_of_the_others() -> None:
    shown = table([*seeds([0.7, 0.8]), record(seed=2, status="timeout", metrics=[metric(value=0.1, when="before")])])
    assert texts(shown) == {("lora", "none"): ["75.00 ± 7.07 (n=2) (1 timeout)"]}


def test_models_that_the_layout_does_not_name_get_rows_of_their_own_and_are_never_averaged() -> None:
    shown = table([*seeds([0.7]), *seeds([0.3], model="other")])
    assert texts(shown) == {("other", "lora", "none"): ["30.00"], ("tiny", "lora", "none"): ["70.00"]}


def test_a_swept_field_is_never_averaged() -> None:
    records = [record(sweep={"train.learning_rate": rate}, metrics=[metric(value=rate)]) for rate in (0.1, 0.0001)]
    assert list(texts(table(records))) == [("lora", "none", "0.0001"), ("lora", "none", "0.1")]


def test_numbers_of_two_protocols_in_a_column_are_marked_and_none_is_best() -> None:
    one, other = metric(value=0.9, protocol="p/2", stderr=0.001), metric(value=0.5, protocol="p/1", stderr=0.001)
    shown = table([record(metrics=[one]), record(method="full", metrics=[other])])
    marks = {row[0].text: row[2].marks for row in shown.rows}
    assert marks == {"full": ("a",), "lora": ("b",)}
    assert shown.footnotes == {"a": "protocol p/1", "b": "protocol p/2"}
    assert not any(entry.best for row in shown.rows for entry in row)


def test_two_protocols_over_seeds_are_not_averaged() -> None:
    records = [record(metrics=[metric(value=0.9, protocol="p/2")]), record(seed=1, metrics=[metric(value=0.5, protocol="p/1")])]
    assert texts(table(records)) == {("lora", "none"): ["50.00 (a); 90.00 (b)"]}


def best(shown: Table) -> list[str]:
    return [row[0].text for row in shown.rows if any(entry.best for entry in row)]


def test_the_best_is_marked_when_it_is_best_beyond_the_noise() -> None:
    assert best(table([*seeds([0.80, 0.81, 0.80]), *seeds([0.60, 0.61, 0.60], method="full")])) == ["lora"]


def test_all_that_tie_with_the_best_are_bold_and_marked_as_ties() -> None:
    shown = table([*seeds([0.70, 0.80, 0.75]), *seeds([0.68, 0.78, 0.72], method="full"), *seeds([0.10, 0.11, 0.12], method="none")])
    assert best(shown) == ["full", "lora"]
    assert {row[0].text: row[2].marks for row in shown.rows} == {"none": (), "full": ("≈",), "lora": ()}
    assert "a tie" in shown.footnotes["≈"]


def test_without_a_noise_estimate_there_is_no_best() -> None:
    assert best(table([*seeds([0.9]), *seeds([0.1], method="full")])) == []


def test_the_lowest_perplexity_is_best() -> None:
    records = [
        record(method=method, metrics=[metric("perplexity", value, stderr=0.01)]) for method, value in (("full", 9.0), ("lora", 12.0))
    ]
    assert best(table(records, metric="perplexity")) == ["full"]


def test_random_weights_have_no_quality_but_a_memory() -> None:
    records = [record(model="big", source="random:llama-7b", metrics=[metric(value=0.99)]), *seeds([0.5])]
    shown = table(records)
    assert texts(shown)["big", "lora", "none"] == ["random weights"]
    assert "random" in shown.footnotes["‡"]
    assert texts(table(records, metric="memory.peak_vram"))["big", "lora", "none"] == ["1000.00 MiB"]


def test_tasks_that_do_not_have_the_metric_are_left_out() -> None:
    shown = table([*seeds([0.5]), record(task="wikitext2", metrics=[metric("perplexity", 9.0)])])
    assert shown.header == ["method", "quantization", "rte"]


def test_before_training_is_a_metric_of_its_own() -> None:
    shown = table([record(metrics=[metric(value=0.5, when="before"), metric(value=0.8)])], metric="accuracy:before")
    assert texts(shown) == {("lora", "none"): ["50.00"]}


def test_an_undefined_metric_says_so() -> None:
    assert texts(table([record(metrics=[metric(value=None)])])) == {("lora", "none"): ["undefined"]}


def test_by_default_there_is_one_table_per_metric() -> None:
    records = [record(metrics=[metric(value=0.5), metric("f1", 0.4), metric("accuracy:anatomy", 0.3)])]
    found = result_tables(rows(records), [], AxisOrder())
    assert [shown.title for shown in found] == ["Accuracy (higher is better)", "F1 (higher is better)"]
    assert found[0].header == ["model", "quantization", "method", "rte"]


def test_tables_of_one_title_have_files_of_their_own() -> None:
    layout = TableLayout(rows=["method"], columns=["task"], metric="accuracy", title="GLUE")
    assert [shown.name for shown in result_tables(rows(seeds([0.5])), [layout, layout], ORDER)] == ["glue", "glue-2"]


def test_a_layouts_where_keeps_the_table_to_some_cells() -> None:
    shown = table([*seeds([0.5], task="glue/rte"), *seeds([0.3], task="mmlu")], where={"task": "glue/*"})
    assert shown.header == ["method", "quantization", "glue/rte"]
