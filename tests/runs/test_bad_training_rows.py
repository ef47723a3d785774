"""A row that cannot be trained on ends a cell before anything was evaluated, not after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import DataError
from harness.needs import Machine
from harness.runs.cell import run_cell
from harness.runs.events import Event, PhaseEnded
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

SUITE = """
name: own-data
models: [{{source: "micro:encoder", dtype: float32}}]
methods: [{{method: prompt-tuning, num_virtual_tokens: 4}}]
tasks: [{{task: glue/sst2, data: {data}, max_eval_samples: 8}}]
train: {{max_steps: 1, max_length: 16, per_device_train_batch_size: 4}}
"""


def run(folder: Path, labels: list[int], events: list[Event]) -> None:
    """Runs a cell whose training rows have those labels."""
    data = folder / "data"
    data.mkdir()
    for split, found in (("train", labels), ("validation", [0, 1] * 4)):
        (data / f"{split}.jsonl").write_text("".join(json.dumps({"sentence": f"film {at}", "label": label}) + "\n" for at, label in enumerate(found)))
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(data=data))
    (cell,) = make_plan(load_suite(suite), Machine()).cells
    (folder / "cell").mkdir()
    run_cell(cell, folder / "cell", "cpu", events.append, folder / "shared")


def phases(events: list[Event]) -> list[str]:
    return [event.reading.phase for event in events if isinstance(event, PhaseEnded)]


def test_a_bad_row_is_noticed_before_the_untuned_model_is_evaluated(tmp_path: Path) -> None:
    events: list[Event] = []
    with pytest.raises(DataError, match=r"train\.jsonl.*7"):
        run(tmp_path, [0, 1] * 4 + [7], events)
    assert phases(events) == ["load"]


def test_good_rows_are_evaluated_before_and_after(tmp_path: Path) -> None:
    events: list[Event] = []
    run(tmp_path, [0, 1] * 4, events)
    assert phases(events)[:2] == ["load", "evaluate"]
    assert phases(events).count("evaluate") == 2
