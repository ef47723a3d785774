"""A folder of tasks in lm-eval's yaml, one of each kind of request, over a few rows of parquet and json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from harness.tasks.base import TASKS
from harness.tasks.lm_eval import LmEval

ROWS = [
    {"question": f"What is {number} + {number}?", "choices": [str(2 * number + step) for step in range(4)], "answer": number % 4, "text": f"A tale of {number} birds.\nThey flew over {3 * number} hills."}
    for number in range(10)
]
CHOICE: dict[str, Any] = {
    "output_type": "multiple_choice", "doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_choice": "choices", "doc_to_target": "answer",
    "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")],
}  # fmt: skip
ROLLING: dict[str, Any] = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "text", "num_fewshot": 0}
GENERATE: dict[str, Any] = {
    "output_type": "generate_until", "doc_to_text": "{{question}} It is", "doc_to_target": "{{choices[answer]}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}, {"metric": "bleu", "aggregation": "bleu", "higher_is_better": True}],
    "filter_list": [
        {"name": "first-letter", "filter": [{"function": "regex", "regex_pattern": "([A-Za-z])"}, {"function": "take_first"}]},
        {"name": "none", "filter": [{"function": "take_first"}]},
    ],
}  # fmt: skip


def write_tasks(folder: Path, **tasks: dict[str, Any]) -> Path:
    """The rows and one yaml file per task; each has ROWS as its `test` and its `train` split."""
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(ROWS).to_parquet(folder / "rows.parquet")
    (folder / "rows.json").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    for name, fields in tasks.items():
        write_yaml(folder, name, fields)
    return folder


def write_yaml(folder: Path, name: str, fields: dict[str, Any]) -> None:
    """One task's file; data as parquet unless the fields say otherwise."""
    rows = str(folder / "rows.parquet")
    data = {"dataset_path": "parquet", "dataset_kwargs": {"data_files": {"test": rows, "train": rows}}, "test_split": "test", "training_split": "train"}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name, "metadata": {"version": 1.5}} | data | fields), encoding="utf-8")


def lm_eval_task(name: str, folder: Path | None = None, **fields: Any) -> LmEval:
    """The task as a suite's entry makes it."""
    where = {} if folder is None else {"include_path": str(folder)}
    task = TASKS.get(f"lm-eval:{name}")(task=f"lm-eval:{name}", **where, **fields)
    assert isinstance(task, LmEval)
    return task
