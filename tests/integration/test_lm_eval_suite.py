"""A task of lm-eval's beside another one in a suite: before and after tuning, on a quantized model, without a hub."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml

from harness.records.schema import Metric, Record
from harness.records.store import RecordStore

ROWS = [{"question": f"What is {number} + {number}?", "choices": [str(2 * number + step) for step in range(4)], "answer": number % 4} for number in range(6)]
TASK: dict[str, Any] = {
    "task": "sums", "output_type": "multiple_choice", "doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_choice": "choices", "doc_to_target": "answer",
    "test_split": "test", "dataset_path": "json", "metadata": {"version": 1},
}  # fmt: skip
ROLLING = {**TASK, "task": "sums_text", "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "question"}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The record of the suite's one cell."""
    folder = tmp_path_factory.mktemp("lm_eval")
    (folder / "tasks").mkdir()
    rows = folder / "tasks" / "rows.json"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for task in (TASK, ROLLING):
        (folder / "tasks" / f"{task['task']}.yaml").write_text(yaml.safe_dump(task | {"dataset_kwargs": {"data_files": {"test": str(rows)}}}))
    also = [{"task": f"lm-eval:{name}", "id": name, "include_path": "tasks"} for name in ("sums", "sums_text")]
    suite: dict[str, Any] = {
        "name": "beside", "models": ["micro:decoder"], "quantization": ["bnb-nf4"], "methods": [{"id": "lora", "method": "lora", "r": 4}], "seeds": [0],
        "tasks": [{"task": "wikitext2", "data": "micro", "max_train_samples": 8, "max_eval_samples": 2, "also": also}],
        "train": {"max_steps": 4, "max_length": 64, "per_device_train_batch_size": 2, "learning_rate": 0.01},
    }  # fmt: skip
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    command = [sys.executable, "-m", "harness", "run", str(folder / "suite.yaml"), "--device", "cpu", "--out", str(folder / "run")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (found,), damaged = RecordStore(folder / "run").read_all()
    assert not damaged
    return found


def metrics(record: Record, task: str | None) -> dict[tuple[str, str], Metric]:
    return {(metric.name, metric.when): metric for metric in record.metrics if metric.task == task}


def test_the_record_has_lm_evals_numbers_before_and_after_tuning(record: Record) -> None:
    sums = metrics(record, "sums")
    assert set(sums) == {(name, when) for name in ("acc", "acc_norm") for when in ("before", "after")}
    assert all(metric.n == len(ROWS) and metric.protocol.endswith("/1/0shot") for metric in sums.values())
    text = metrics(record, "sums_text")
    before, after = text["byte_perplexity", "before"].value, text["byte_perplexity", "after"].value
    assert before is not None
    assert after is not None
    assert before != pytest.approx(after, rel=1e-4)  # it is the tuned model that was evaluated
    assert text["byte_perplexity", "before"].higher_is_better is False


def test_with_the_adapter_off_the_quantized_base_scores_what_it_scored_and_the_rows_are_in_the_record(record: Record) -> None:
    assert record.base is not None
    assert record.base.same is True
    uses = {(use.task, use.role): use for use in record.data}
    assert uses["lm-eval:sums", "evaluation"].rows == len(ROWS)
    assert uses["lm-eval:sums", "evaluation"].trained_on == 0
