"""GLUE on real heads: metrics, tokenization, training rows, and nothing that depends on the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_models import decoder_config, encoder_decoder_config

from harness.errors import DataError
from harness.needs import ModelFacts
from harness.tasks.base import TASKS, Task
from harness.tasks.batches import PaddingCollator

NINE = ["cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli"]
WORDS = ["the", "answer", "of", "a", "question", "is", "long", "and", "short", "but", "nobody", "knew", "which"]


def glue(name: str, data: Path | str, **fields: Any) -> Task:
    return TASKS.get(f"glue/{name}")(task=f"glue/{name}", data=str(data), **fields)


def sentence(generator: np.random.Generator) -> str:
    return " ".join(generator.choice(WORDS, size=generator.integers(2, 20)))


def write_split(folder: Path, name: str, split: str, count: int) -> None:
    """`count` rows of random words and labels in the columns of that task."""
    task = glue(name, folder).glue  # type: ignore[attr-defined]
    generator = np.random.default_rng(len(split))
    frame = pd.DataFrame({column.name: [sentence(generator) for _ in range(count)] for column in task.sentences})
    labels = generator.uniform(0, 5, count) if task.regression else generator.integers(0, len(task.classes), count)
    frame.assign(label=labels).to_parquet(folder / f"{split}.parquet")


@pytest.fixture
def data(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    name = request.param
    for split in ("train", *glue(name, tmp_path).glue.splits):  # type: ignore[attr-defined]
        write_split(tmp_path, name, split, 30)
    return tmp_path


def classifier(kind: str, labels: int, **more: Any) -> Any:
    """A tiny model of that kind with a head for so many labels."""
    from transformers import AutoModelForSequenceClassification, BertConfig

    config = {
        "encoder": lambda: BertConfig(vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, initializer_range=0.3),
        "decoder": lambda: decoder_config("llama"),
        "gpt2": lambda: decoder_config("gpt2"),
        "encoder-decoder": encoder_decoder_config,
    }[kind]()
    config.num_labels = labels
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.fixture(params=["encoder", "decoder", "gpt2", "encoder-decoder"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokenizer(kind: str, request: pytest.FixtureRequest) -> Any:
    if kind == "encoder":
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(request.getfixturevalue("minilm"))
    return request.getfixturevalue("encoder_decoder_tokenizer" if kind == "encoder-decoder" else "decoder_tokenizer")()


def model_kind(kind: str) -> str:
    return "decoder" if kind == "gpt2" else kind


def test_all_nine_are_registered() -> None:
    assert [name for name in TASKS.names() if name.startswith("glue/")] == [f"glue/{name}" for name in NINE]


@pytest.mark.parametrize(("name", "data"), [(name, name) for name in NINE], indirect=["data"])
def test_every_task_reports_its_own_metrics(name: str, data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    task = glue(name, data)
    head = task.head(ModelFacts("llama", "decoder"))
    with torch.inference_mode():
        metrics = task.evaluate(classifier("decoder", head.labels), context_of(decoder_tokenizer()))
    expected = {
        "cola": ["matthews_correlation", "accuracy"], "mrpc": ["accuracy", "f1"], "qqp": ["accuracy", "f1"],
        "stsb": ["pearson", "spearmanr"], "mnli": ["accuracy", "accuracy_mismatched"],
    }
    assert [metric.name for metric in metrics] == expected.get(name, ["accuracy"])
    assert {metric.protocol for metric in metrics} == {f"glue/{name}/{'regression' if name == 'stsb' else 'classification'}-head"}
    assert all(metric.n == 30 and metric.stderr is not None for metric in metrics)
    assert head.labels == {"stsb": 1, "mnli": 3}.get(name, 2)
    splits = ["validation_matched", "validation_mismatched"] if name == "mnli" else ["validation"] * len(metrics)
    assert [metric.split for metric in metrics] == splits


@pytest.mark.parametrize("data", ["rte", "sst2"], indirect=True)
def test_predictions_are_the_models_own_one_by_one(data: Path, kind: str, tokenizer: Any, context_of: Any) -> None:
    """Against a plain loop without padding, and the same for batches of 1 and 8."""
    name = "rte" if "sentence1" in pd.read_parquet(data / "train.parquet") else "sst2"
    model = classifier(kind, 2)
    task = glue(name, data)
    frame = pd.read_parquet(data / "validation.parquet")
    outputs = []
    with torch.inference_mode():
        for row in frame.itertuples():
            texts = [row.sentence] if name == "sst2" else [row.sentence1, ("\n" if model_kind(kind) == "decoder" else "") + row.sentence2]
            inputs = tokenizer(*texts, return_tensors="pt")
            accepted = {"input_ids", "attention_mask"} | ({"token_type_ids"} if kind == "encoder" else set())
            outputs.append(model(**{key: value for key, value in inputs.items() if key in accepted}).logits[0])
        found = [task.evaluate(model, context_of(tokenizer, model_kind(kind), max_length=256, batch=batch))[0].value for batch in (1, 8)]
    predicted = torch.stack(outputs).argmax(dim=1).numpy()
    assert found == [pytest.approx((predicted == frame["label"]).mean())] * 2
    assert 0 < predicted.mean() < 1, "a constant classifier would prove nothing"


@pytest.mark.parametrize("data", ["stsb"], indirect=True)
def test_outputs_do_not_depend_on_the_batch(data: Path, kind: str, tokenizer: Any, context_of: Any) -> None:
    from scipy.stats import pearsonr

    model = classifier(kind, 1)
    task = glue("stsb", data)
    with torch.inference_mode():
        values = [task.evaluate(model, context_of(tokenizer, model_kind(kind), max_length=256, batch=batch))[0].value for batch in (1, 8)]
    assert values[0] == pytest.approx(values[1], abs=1e-4)
    assert values[0] is not None
    assert pearsonr([0, 1], [0, 1])[0] == pytest.approx(1.0)


@pytest.mark.parametrize("data", ["rte", "stsb"], indirect=True)
def test_a_step_of_training_is_possible_on_every_kind_of_model(data: Path, kind: str, tokenizer: Any, context_of: Any, tmp_path: Path) -> None:
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import Trainer, TrainingArguments

    name = "stsb" if pd.read_parquet(data / "train.parquet")["label"].dtype.kind == "f" else "rte"
    task = glue(name, data, max_train_samples=8)
    training = task.training_set(context_of(tokenizer, model_kind(kind)))
    model = classifier(kind, 1 if name == "stsb" else 2)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.problem_type = task.head(ModelFacts("x", model_kind(kind))).problem_type
    model = get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, target_modules="all-linear"))
    arguments = TrainingArguments(output_dir=str(tmp_path / "out"), max_steps=2, per_device_train_batch_size=4, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True)
    result = Trainer(model, arguments, data_collator=training.collator, train_dataset=training.rows).train()
    assert result.training_loss > 0
    assert np.isfinite(result.training_loss)
    with torch.inference_mode():
        metrics = task.evaluate(model.eval(), context_of(tokenizer, model_kind(kind)))
    assert metrics[0].n == 30


@pytest.mark.parametrize("data", ["mrpc"], indirect=True)
def test_training_rows_are_drawn_by_the_seed_and_padded_on_the_right(data: Path, kind: str, tokenizer: Any, context_of: Any) -> None:
    tokenizer.padding_side = "left"
    task = glue("mrpc", data, max_train_samples=7)
    sets = [task.training_set(context_of(tokenizer, model_kind(kind), max_length=24, seed=seed)) for seed in (0, 0, 1)]
    texts = [[row["input_ids"].tolist() for row in training.rows] for training in sets]
    assert texts[0] == texts[1] != texts[2]
    batch = sets[0].collator([sets[0].rows[index] for index in range(7)])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (7, max(map(len, texts[0])))
    assert batch["input_ids"].shape[1] <= 24
    assert batch["labels"].tolist() == [row["labels"] for row in sets[0].rows]
    assert batch["labels"].dtype == torch.long
    assert batch["attention_mask"].sum(dim=1).tolist() == [len(ids) for ids in texts[0]]
    assert batch["attention_mask"][:, 0].tolist() == [1] * 7
    assert ("token_type_ids" in batch) == (kind == "encoder")


def test_an_encoder_decoders_rows_end_in_one_end_of_text(encoder_decoder_tokenizer: Any, context_of: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    from harness.tasks.classification import tokenized_sentences

    tokenizer = encoder_decoder_tokenizer()
    before = tokenizer.backend_tokenizer.post_processor
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    rows = tokenized_sentences([["this is the answer", "one " * 40]], context_of(tokenizer, "encoder-decoder", max_length=16))
    tokenizer.backend_tokenizer.post_processor = before
    assert [row["input_ids"].tolist().count(1) for row in rows] == [1, 1]
    assert all(row["input_ids"][-1] == 1 for row in rows)
    assert len(rows[1]["input_ids"]) == 16


def test_the_collator_pads_labels_that_are_sequences() -> None:
    rows = [{"input_ids": [5, 6, 7], "labels": [-100, -100, 7]}, {"input_ids": [5], "labels": [5]}]
    batch = PaddingCollator(9)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [5, 9, 9]]
    assert batch["labels"].tolist() == [[-100, -100, 7], [5, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("data", ["stsb"], indirect=True)
def test_an_undefined_correlation_is_none_with_a_note(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    model = classifier("decoder", 1)
    model.score.weight.data.zero_()
    context = context_of(decoder_tokenizer())
    with torch.inference_mode():
        metrics = glue("stsb", data).evaluate(model, context)
    assert [(metric.value, metric.stderr) for metric in metrics] == [(None, None)] * 2
    assert any(note.startswith("pearson on validation: undefined") for note in context.notes)


@pytest.mark.parametrize("data", ["sst2"], indirect=True)
def test_a_part_of_the_split_is_another_protocol(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    with torch.inference_mode():
        (metric,) = glue("sst2", data, max_eval_samples=5).evaluate(classifier("decoder", 2), context_of(decoder_tokenizer()))
    assert metric.n == 5
    assert metric.protocol == "glue/sst2/classification-head+first-5-rows"


@pytest.mark.parametrize("data", ["sst2"], indirect=True)
def test_only_a_cell_that_trains_needs_a_training_split(data: Path) -> None:
    (data / "train.parquet").unlink()
    task = glue("sst2", data)
    task.check_data()
    assert task.unsupported(None, trains=False) is None
    assert "training needs the split train" in (task.unsupported(None, trains=True) or "")
    assert task.local_files() == [data / "validation.parquet"]


@pytest.mark.parametrize("data", ["mnli"], indirect=True)
def test_mnli_needs_both_validation_splits(data: Path) -> None:
    assert len(glue("mnli", data).local_files()) == 3
    (data / "validation_mismatched.parquet").unlink()
    with pytest.raises(DataError, match="no file for the split validation_mismatched"):
        glue("mnli", data).check_data()


def test_real_sst2_through_a_real_encoder(minilm: Path, shared_data: Path, context_of: Any) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=2).eval()
    task = glue("sst2", shared_data / "glue", max_eval_samples=48)
    task.check_data()
    with torch.inference_mode():
        values = [task.evaluate(model, context_of(tokenizer, "encoder", batch=batch))[0].value for batch in (1, 16)]
    assert values[0] == values[1]
