"""Published numbers: every shipped file is valid, and a number stands only beside the cells it belongs to."""

from __future__ import annotations

from typing import Any

import pytest
from record_factory import metric, record

from harness.analysis.columns import row, rows
from harness.analysis.groups import AxisOrder
from harness.analysis.reference_files import reference, reference_names, reference_table
from harness.analysis.references import ReferenceRow
from harness.analysis.table import Table
from harness.analysis.tables import result_table
from harness.errors import UnknownName
from harness.records.schema import Record
from harness.suite.schema import TableLayout


def test_every_shipped_reference_is_valid() -> None:
    names = reference_names()
    assert "qlora" in names
    for name in names:
        assert reference(name).paper == name
        assert all(table.rows for table in reference(name).tables)


def test_unknown_references_and_tables_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean qlora"):
        reference_table("qlora2.table3_glue")
    with pytest.raises(UnknownName, match="did you mean table3_glue"):
        reference_table("qlora.table3_gleu")


def number(**fields: Any) -> ReferenceRow:
    return ReferenceRow.model_validate({"metric": "accuracy", "value": 88.8, "verified": True} | fields)


def roberta(**fields: Any) -> Record:
    given: dict[str, Any] = {"model": "rl", "source": "hub:FacebookAI/RoBERTa-large", "quantization": "bnb-nf4", "method": "lora-r8"}
    return record(**given | fields)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"model": "roberta-large"}, True),
        ({"model": "roberta-base"}, False),
        ({"scheme": "bnb-nf4", "method": "lora", "task": "glue/rte"}, True),
        ({"method": "lora-r8"}, False),
        ({"task": "glue/mean"}, False),
    ],
)
def test_a_number_fits_by_registered_names_and_the_models_source(fields: dict[str, str], fits: bool) -> None:
    assert number(**fields).fits(row(roberta())) is fits


def test_double_quantization_is_a_scheme_of_its_own() -> None:
    cell = row(roberta(config={"scheme": {"scheme": "bnb-nf4", "double_quant": True}}))
    assert number(scheme="bnb-nf4-dq").fits(cell)
    assert not number(scheme="bnb-nf4").fits(cell)


def test_a_field_of_the_method_that_a_number_names_must_be_the_cells() -> None:
    cell = row(roberta(config={"method": {"method": "lora", "r": 32, "use_dora": False}}))
    assert number(method="lora", r=32, use_dora=False).fits(cell)
    assert not number(method="lora", r=64).fits(cell)
    assert not number(method="lora", use_dora=True).fits(cell)
    assert number(method="lora", experiment="no field of any method").fits(cell)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"task": "gsm8k"}, True),
        ({"task": "gsm8k", "train": "metamathqa"}, True),
        ({"task": "gsm8k", "train": "alpaca"}, False),
        ({"task": "metamathqa"}, False),
        ({"task": "wikitext2"}, False),
        ({"task": "mmlu"}, False),
    ],
)
def test_a_number_stands_beside_what_is_evaluated_in_the_tasks_place(fields: dict[str, str], fits: bool) -> None:
    others = [
        {"id": "math", "beside": False, "task": {"task": "gsm8k", "data": "hub"}},
        {"id": "wiki", "beside": True, "task": {"task": "wikitext2", "data": "hub"}},
        {"id": "quiz", "beside": False, "task": {"task": "mmlu", "data": "micro"}},
    ]
    cell = row(roberta(config={"task": {"task": "metamathqa"}, "evaluations": {"own": False, "others": others}}))
    assert number(**fields).fits(cell) is fits


def test_no_published_number_stands_beside_micro_data() -> None:
    assert not number(model="roberta-large").fits(row(roberta(data="micro")))


def test_what_else_places_a_number_and_that_it_is_not_verified_is_shown() -> None:
    assert number(value=39.0, verified=False, train="alpaca").show() == "39† (train=alpaca)"


def test_the_papers_values_stand_beside_the_tables_rows() -> None:
    records = [roberta(quantization=scheme, metrics=[metric(value=0.87)]) for scheme in ("none", "bnb-fp4", "bnb-nf4")]
    layout = TableLayout(rows=["quantization"], columns=["task"], metric="accuracy", reference="qlora.table3_glue")
    shown = result_table(rows(records), layout, AxisOrder())
    assert shown.header == ["quantization", "rte", "glue/mean, qlora paper"]
    assert {row[0].text: row[2].text for row in shown.rows} == {"none": "88.8", "bnb-fp4": "88.6", "bnb-nf4": "–"}
    assert any("2305.14314" in note for note in shown.notes)


def test_unverified_values_are_marked_and_the_mark_explained() -> None:
    shown = after_tuning_on("alpaca", own=False)
    assert shown.rows[0][2].text == "38.4† (train=alpaca)"
    assert "†" in shown.footnotes


def test_a_number_after_tuning_on_other_data_stands_beside_no_cell() -> None:
    assert any("none of its numbers belongs to a cell" in note for note in after_tuning_on("mmlu", own=True).notes)


def after_tuning_on(task: str, own: bool) -> Table:
    """LLaMA-7B's MMLU beside QLoRA's table 4: evaluated on MMLU in the place of the task it was trained on, or as that task's own."""
    others = [] if own else [{"id": "mmlu", "beside": False, "task": {"task": "mmlu", "data": "hub"}}]
    config = {"task": {"task": task}, "evaluations": {"own": own, "others": others}}
    values = [metric("accuracy_macro", 0.4, task=None if own else "mmlu")]
    cell = record(model="llama-7b", quantization="none", task=task, config=config, metrics=values)
    layout = TableLayout(rows=["quantization"], columns=["task"], metric="accuracy_macro", reference="qlora.table4_mmlu")
    return result_table(rows([cell]), layout, AxisOrder())


@pytest.mark.parametrize(("accuracy", "delta", "marks"), [(0.82, 0.005, ("≈",)), (0.70, -0.115, ())])
def test_what_separates_ours_from_the_papers_number_is_shown_with_its_significance(accuracy: float, delta: float, marks: tuple[str, ...]) -> None:
    """BitFit on RTE, RoBERTa-base: 81.5 in LoRA's table 2; our interval is two points to each side of ours."""
    cell = record(
        model="roberta-base", quantization="none", method="bitfit", metrics=[metric(value=accuracy, stderr=0.01)], config={"method": {"method": "bitfit"}}
    )
    layout = TableLayout(rows=["method"], columns=["task"], metric="accuracy", reference="lora.table2_glue_roberta_base")
    shown = result_table(rows([cell]), layout, AxisOrder())
    assert shown.header[2:4] == ["rte, lora paper", "rte, Δ to the paper"]
    assert shown.rows[0][2].text.startswith("81.5")
    assert shown.rows[0][3].sample is not None
    assert shown.rows[0][3].sample.mean == pytest.approx(delta)
    assert shown.rows[0][3].marks == marks
    assert any("ours less the paper's" in note for note in shown.notes)


def test_a_reference_of_which_nothing_fits_says_so() -> None:
    layout = TableLayout(rows=["quantization"], columns=["task"], metric="accuracy", reference="qlora.memory")
    shown = result_table(rows([record(metrics=[metric()])]), layout, AxisOrder())
    assert any("none of its numbers" in note for note in shown.notes)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"max_length": 512, "per_device_train_batch_size": 4}, True),
        ({"max_length": 4096}, False),
        ({"budget_percent": 0.32}, True),
        ({"budget_percent": 0.08}, False),
        ({"train_samples": 100}, True),
        ({"train_samples": "all"}, False),
        ({"num_gpus": 2}, False),
    ],
)
def test_settings_that_a_number_names_must_be_the_cells(fields: dict[str, Any], fits: bool) -> None:
    config = {
        "method": {"method": "lora", "budget": {"trainable_parameters": None, "percent": 0.32}},
        "task": {"task": "glue/rte", "data": "hub", "max_train_samples": 100},
        "train": {"max_length": 512, "per_device_train_batch_size": 4},
    }
    assert number(**fields).fits(row(roberta(config=config))) is fits


@pytest.mark.parametrize(("calibration", "fits"), [({"set": "c4", "samples": 128}, True), ({"set": "c4", "samples": 8}, False), ({"set": "texts", "samples": 128}, False)])
def test_what_a_scheme_was_calibrated_on_must_be_what_the_number_says(calibration: dict[str, Any], fits: bool) -> None:
    cell = row(roberta(config={"scheme": {"scheme": "gptq-3bit", "group_size": -1, "calibration": calibration}}))
    assert number(scheme="gptq-3bit", calibration="c4", calibration_samples=128).fits(cell) is fits


def test_a_number_on_all_rows_stands_beside_a_cell_that_takes_all() -> None:
    assert number(train_samples="all").fits(row(roberta()))


def test_another_protocol_than_the_tables_is_told_of_the_number_that_has_it() -> None:
    config = {"scheme": {"scheme": "none"}, "method": {"method": "full"}, "train": {"max_length": 2048, "per_device_train_batch_size": 4}}
    cell = record(model="santacoder", source="hub:bigcode/gpt_bigcode-santacoder", quantization="none", method="full", config=config)
    layout = TableLayout(rows=["method"], columns=["model"], metric="training.tokens_per_second", reference="fms_acceleration.a100_80gb")
    shown = result_table(rows([cell]), layout, AxisOrder())
    assert shown.rows[0][2].text.startswith("17188.262 (framework_config=none")
    [note] = [note for note in shown.notes if note.startswith("Published")]
    assert "Of 17188.262" in note
    assert "sequence length 2048" in note


@pytest.mark.parametrize(("metric_name", "shown"), [("accuracy", True), ("matthews_correlation", True), ("memory.train_peak", False)])
def test_a_mean_of_each_tasks_own_metric_stands_beside_every_score_of_the_family(metric_name: str, shown: bool) -> None:
    cell = record(
        model="large", source="hub:google-bert/bert-large-uncased", quantization="none", method="full",
        config={"method": {"method": "full"}}, metrics=[metric(metric_name.partition(".")[0], 0.8)],
    )  # fmt: skip
    table = result_table(rows([cell]), TableLayout(rows=["method"], columns=["task"], metric=metric_name, reference="houlsby.glue"), AxisOrder())
    assert any("80.4†" in entry.text for entry in table.rows[0]) is shown
