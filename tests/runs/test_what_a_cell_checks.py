"""What a cell looks out for by itself: rows evaluated that it trains on, and a frozen base that did not stay as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import DataError
from harness.micro import model_path
from harness.needs import Machine
from harness.records.schema import CellResult
from harness.runs.cache import SharedEvaluations
from harness.runs.cell import Life, run_cell
from harness.runs.events import Event, PhaseEnded, ResultSoFar
from harness.runs.phases import load, train
from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

SUITE = """
name: checks
models: [{{source: "{model}", dtype: float32}}]
methods: [{method}]
tasks: [{task}]
train: {{max_steps: 2, max_length: 32, per_device_train_batch_size: 2, learning_rate: 1e-2}}
"""
LORA = "{method: lora, r: 4, target_modules: all-linear}"
WIKI = "{task: wikitext2, data: micro, max_train_samples: 4, max_eval_samples: 3, also: [{task: mmlu, data: micro, max_eval_samples: 6}]}"


def planned(folder: Path, method: str = LORA, task: str = WIKI, model: str = "micro:decoder") -> Cell:
    """The one cell of the suite."""
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(method=method, task=task, model=model))
    (cell,) = make_plan(load_suite(suite), Machine()).cells
    return cell


def live(folder: Path, method: str = LORA, task: str = WIKI) -> list[Event]:
    """All that the cell reports, run in this process."""
    cell = planned(folder, method, task)
    events: list[Event] = []
    (folder / "cell").mkdir()
    try:
        run_cell(cell, folder / "cell", "cpu", events.append, folder / "shared")
    except DataError as error:
        events.append(error)  # type: ignore[arg-type]
    return events


def result(events: list[Event]) -> CellResult:
    return [event.result for event in events if isinstance(event, ResultSoFar)][-1]


def phases(events: list[Event]) -> list[str]:
    return [event.reading.phase for event in events if isinstance(event, PhaseEnded)]


def test_a_frozen_base_scores_with_the_method_off_exactly_what_it_scored_before(tmp_path: Path) -> None:
    found = result(live(tmp_path))
    assert found.base is not None
    assert found.base.same is True
    assert found.base.metrics > 2, "perplexity, and accuracy whole and in parts"
    before, after = (metric.value for metric in found.metrics if metric.name == "perplexity")
    assert before != after, "tuning did change the tuned model"
    assert len([metric for metric in found.metrics if metric.name == "perplexity"]) == 2, "what was scored for the check is in no record"


def test_a_base_that_moved_while_it_should_be_frozen_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = train.run

    def and_moved(life: Life, *rest: Any) -> None:
        trained(life, *rest)
        with torch.no_grad():
            frozen = next(weights for name, weights in life.model.named_parameters() if not weights.requires_grad and "base_layer" in name)
            frozen += 1e-3

    monkeypatch.setattr(train, "run", and_moved)
    found = result(live(tmp_path))
    assert found.base is not None
    assert found.base.same is False
    assert any("the frozen base has changed" in note for note in found.notes)


@pytest.mark.parametrize(("method", "reason"), [("full", "tunes weights of the base itself"), ("{method: top-k, k: 1}", "tunes weights of the base itself")])
def test_where_nothing_can_be_turned_off_the_record_says_why(method: str, reason: str, tmp_path: Path) -> None:
    events = live(tmp_path, method)
    found = result(events).base
    assert found is not None
    assert found.same is None
    assert reason in str(found.reason)
    assert "check" not in phases(events)


@pytest.mark.parametrize("named", [-1, 2, None])
def test_a_classifier_is_told_which_token_pads_whatever_its_checkpoint_says(named: int | None, tmp_path: Path) -> None:
    """Already in training: else a decoder's head would be trained on padding."""
    model = Path(shutil.copytree(model_path("decoder"), tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"pad_token_id": named}))
    cell = planned(tmp_path, task="{task: glue/sst2, data: micro}", model=f"path:{model}")
    life = Life(cell, tmp_path, "cpu", SharedEvaluations(tmp_path / "shared"), tmp_path / "cache", lambda event: None)
    load.describe(life)
    load.weights(life)
    assert life.model.config.pad_token_id == life.tokenizer.pad_token_id == 0


def test_every_row_read_is_in_the_record_by_role_and_hash(tmp_path: Path) -> None:
    uses = {(use.role, use.task, use.split): use for use in result(live(tmp_path)).data}
    assert {("training", "wikitext2", "train"), ("evaluation", "wikitext2", "test"), ("evaluation", "mmlu", "test")} <= set(uses)
    assert uses["evaluation", "mmlu", "test"].rows == 6
    assert all(len(use.sha256) == 64 for use in uses.values())


def sentences(folder: Path, **splits: list[tuple[str, int]]) -> str:
    """A folder of glue/sst2 with these rows."""
    folder.mkdir()
    for split, rows in splits.items():
        lines = (json.dumps({"sentence": sentence, "label": label}) for sentence, label in rows)
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return str(folder)


TRAIN = [("a fine film", 1), ("a dull film", 0), ("so long", 0), ("so good", 1)]
VALIDATION = [("a fine film", 1), ("A dull film!", 0), ("never seen", 1)]


def test_rows_evaluated_that_are_trained_on_are_counted(tmp_path: Path) -> None:
    folder = sentences(tmp_path / "sst2", train=TRAIN, validation=VALIDATION)
    found = result(live(tmp_path, task=f"{{task: glue/sst2, data: {folder}}}"))
    (use,) = [use for use in found.data if use.role == "evaluation"]
    assert (use.rows, use.trained_on, use.trained_on_normalised) == (3, 1, 2)
    assert any("leakage: 2 of the 3 rows of glue/sst2, split validation" in note for note in found.notes)


def test_on_request_such_rows_end_the_cell_before_it_trains(tmp_path: Path) -> None:
    folder = sentences(tmp_path / "sst2", train=TRAIN, validation=VALIDATION)
    events = live(tmp_path, task=f"{{task: glue/sst2, data: {folder}, leakage: refuse}}")
    error: Any = events[-1]
    assert isinstance(error, DataError)
    assert "leakage: 2 of the 3 rows" in str(error)
    assert "train" not in phases(events)


def test_clean_data_may_be_asked_to_be_refused(tmp_path: Path) -> None:
    folder = sentences(tmp_path / "sst2", train=TRAIN, validation=VALIDATION[2:])
    found = result(live(tmp_path, task=f"{{task: glue/sst2, data: {folder}, leakage: refuse}}"))
    assert found.training is not None
    assert not any("leakage" in note for note in found.notes)
