"""The micro data goes through the same loading code as the real data, in the same columns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import decoder_config

from harness.errors import DataError
from harness.micro import model_path
from harness.needs import ModelFacts
from harness.tasks.base import TASKS, Head
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


MODELS = {"decoder": "decoder", "encoder": "encoder", "seq2seq": "encoder-decoder"}


def micro_model(name: str, head: Head) -> Any:
    """The embedded model in fp32, so that a batch's order of summation is the only difference left."""
    import transformers

    torch.manual_seed(0)
    classes = {"causal-lm": "AutoModelForCausalLM", "seq2seq-lm": "AutoModelForSeq2SeqLM", "sequence-classification": "AutoModelForSequenceClassification"}
    more = {} if head.labels is None else {"num_labels": head.labels}
    return getattr(transformers, classes[head.kind]).from_pretrained(model_path(name), dtype=torch.float32, **more).eval()


@pytest.mark.parametrize(
    ("model", "task"),
    [("decoder", "wikitext2"), ("decoder", "mmlu"), ("seq2seq", "mmlu"), ("decoder", "glue/stsb"), ("encoder", "glue/stsb"), ("seq2seq", "glue/stsb")],
)
def test_the_micro_models_give_the_same_numbers_in_any_batch(model: str, task: str, context_of: Any) -> None:
    from transformers import AutoTokenizer

    chosen = micro(task, max_eval_samples=6 if task == "wikitext2" else 24)
    kind = MODELS[model]
    loaded = micro_model(model, chosen.head(ModelFacts("micro", kind)))
    tokenizer = AutoTokenizer.from_pretrained(model_path(model))
    found = []
    with torch.inference_mode():
        for batch in (1, 8):
            context = context_of(tokenizer, kind, model_context=None if kind == "encoder-decoder" else 256, max_length=128, batch=batch)
            found.append([metric.value for metric in chosen.evaluate(loaded, context)])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize("name", ["glue/mnli", "glue/qnli", "glue/qqp", "glue/wnli"])
def test_what_the_micro_data_lacks_is_said_by_the_plan(name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: there is no micro data for it"):
        micro(name).check_data()
