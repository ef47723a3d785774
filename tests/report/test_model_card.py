"""The model card's section: the hub's own reader takes its metadata, and it says nothing that the record does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import RepoCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from record_factory import metric, record, write_run

from harness.analysis.columns import row
from harness.analysis.run import read_run
from harness.cli.card import card_command
from harness.errors import RequestError
from harness.report.model_card import model_card, the_cell


def card(**fields: Any) -> str:
    return model_card(row(record(**fields)))


def test_the_hubs_reader_finds_every_number_in_the_metadata() -> None:
    metrics = [metric(value=0.5, when="before"), metric(value=0.875, protocol="glue/rte/classification-head", stderr=0.02)]
    read = RepoCard(card(metrics=metrics), ignore_metadata_errors=False)
    assert read.data.base_model == "owner/tiny"
    assert read.data.library_name == "peft"
    name, results = model_index_to_eval_results(read.data.to_dict()["model-index"])
    assert name == "tiny / none / lora / rte"
    assert [(found.metric_value, found.metric_config, found.metric_args["n"]) for found in results] == [(0.5, "glue/x", 277), (0.875, "glue/rte/classification-head", 277)]
    assert {found.dataset_name for found in results} == {"glue/rte"}


def test_the_text_has_results_costs_and_settings() -> None:
    text = card(metrics=[metric(value=0.875)], config={"train": {"learning_rate": 0.0003}})
    assert "| 87.50 |" in text
    assert "train.learning\\_rate" in text
    assert "0.0003" in text
    assert "torch 2.13.0, peft 0.21.2." in text


def test_random_weights_have_no_quality() -> None:
    text = card(metrics=[metric(value=0.875)], source="random:llama-7b")
    assert "87.50" not in text
    assert "model-index" not in text
    assert "weights are random" in text


def test_a_cell_that_did_not_go_through_has_no_card() -> None:
    with pytest.raises(RequestError, match="ended oom: it was oom"):
        card(status="oom")


def test_a_cell_is_found_by_the_beginning_of_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [record(metrics=[metric(value=0.875)]), record(seed=1)])
    rows = read_run(run).rows
    whole = rows[0].record.cell.id
    assert the_cell(rows, whole[:6]) is rows[0]
    with pytest.raises(RequestError, match=f"several cells begin with ''(.|\\n)*{whole}"):
        the_cell(rows, "")
    with pytest.raises(RequestError, match="no cell has the id"):
        the_cell(rows, "nothing")
    card_command(run, whole[:6], tmp_path / "card.md")
    assert (tmp_path / "card.md").read_text().startswith("---")
    assert str(tmp_path / "card.md") in capsys.readouterr().out
