"""The micro data goes through the same loading code as the real data, in the same columns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import decoder_config

from harness.errors import DataError
from harness.tasks.base import TASKS
from harness.tasks.benchmark import BenchmarkTask

NAMES = ["wikitext2", "mmlu", "glue/cola", "glue/sst2", "glue/mrpc", "glue/rte", "glue/stsb"]


def micro(name: str, **fields: Any) -> BenchmarkTask:
    task = TASKS.get(name)(task=name, data="micro", **fields)
    assert isinstance(task, BenchmarkTask)
    return task


@pytest.mark.parametrize("name", NAMES)
def test_the_micro_data_is_read_whole(name: str) -> None:
    task = micro(name)
    task.check_data()
    for split in task.evaluation_splits():
        assert len(task.source().load(split)) >= 10
    assert all(path.is_file() for path in task.local_files())
    assert len(task.local_files()) >= 2


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mmlu"])
def test_every_micro_task_but_mmlu_can_be_trained(name: str) -> None:
    assert micro(name).unsupported(None, trains=True) is None


@pytest.mark.parametrize("name", NAMES)
def test_numbers_on_micro_data_are_another_protocol(name: str, decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    fields = {"num_fewshot": 1} if name == "mmlu" else {}
    task = micro(name, max_eval_samples=4, **fields)
    config = decoder_config(context=1024)
    config.num_labels = 1 if name == "glue/stsb" else 2
    factory = AutoModelForSequenceClassification if name.startswith("glue/") else AutoModelForCausalLM
    torch.manual_seed(0)
    with torch.inference_mode():
        metrics = task.evaluate(factory.from_config(config).eval(), context_of(decoder_tokenizer(), model_context=256))
    assert metrics[0].n == 4
    assert "@micro+first-4-" in metrics[0].protocol


@pytest.mark.parametrize("name", ["glue/mnli", "glue/qnli", "glue/qqp", "glue/wnli"])
def test_what_the_micro_data_lacks_is_said_by_the_plan(name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: there is no micro data for it"):
        micro(name).check_data()
