"""The task of docs/tasks.md works as printed: one file, no other touched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny_models import decoder_config

from harness.errors import DataError
from harness.tasks.base import TASKS


@pytest.fixture
def paws(root: Path, tmp_path: Path) -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "tasks.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    TASKS.names()
    exec(compile(code, "docs/tasks.md", "exec"), {"__name__": "paws"})
    rows = [{"id": n, "sentence1": f"answer {n}", "sentence2": f"answer {n % 2}", "label": n % 2} for n in range(6)]
    for split in ("train", "validation"):
        pd.DataFrame(rows).to_parquet(tmp_path / f"{split}.parquet")
    yield TASKS.get("paws")
    TASKS._classes.pop("paws")


def test_the_task_of_the_page_checks_trains_and_evaluates(paws: Any, tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForSequenceClassification

    task = paws(task="paws", data=str(tmp_path))
    task.check_data()
    assert len(task.training_set(context_of(decoder_tokenizer())).rows) == 6
    torch.manual_seed(0)
    with torch.inference_mode():
        (metric,) = task.evaluate(LlamaForSequenceClassification(decoder_config()).eval(), context_of(decoder_tokenizer()))
    assert (metric.name, metric.n, metric.protocol) == ("accuracy", 6, "paws/classification-head")
    with pytest.raises(DataError, match="no such folder"):
        paws(task="paws", data=str(tmp_path / "elsewhere")).check_data()
