"""Every task on bad rows and odd tokenizers: it works, or one message says which file, row and column, and what would be right."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from data_files import write
from sample_rows import SAMPLES, Sample
from tiny_models import decoder_config

from harness.errors import DataError, HarnessError, Unsupported
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, Task, TaskContext, TrainingSet

ContextOf = Callable[..., TaskContext]
BOM = "\ufeff"
ODD = (" \n", "\x00\u200b", "🙃" * 40, "no end " * 400)
every_task = pytest.mark.parametrize("name", list(SAMPLES))


@pytest.fixture(autouse=True)
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR's Java takes seconds to start, and a machine without it is a machine, too."""
    monkeypatch.setenv("PATH", "")


def task_on(name: str, folder: Path) -> Task:
    return TASKS.get(name)(task=name, data=str(folder), **dict(SAMPLES[name].fields))


@cache
def model_with(head: Head) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    torch.manual_seed(0)
    if head.kind == "causal-lm":
        return AutoModelForCausalLM.from_config(decoder_config()).eval()
    return AutoModelForSequenceClassification.from_config(decoder_config(num_labels=head.labels, problem_type=head.problem_type)).eval()


def lived(task: Task, context: TaskContext, evaluates: bool = True) -> tuple[TrainingSet, list[Metric]]:
    """What the task gives to train on, read batch by batch, and its metrics on a tiny decoder."""
    import torch

    training = task.training_set(context)
    for start in range(0, min(len(training.rows), 8), 2):
        batch = training.collator([training.rows[index] for index in range(start, min(start + 2, len(training.rows)))])
        assert batch["input_ids"].shape[1] <= context.max_length
    metrics: list[Metric] = []
    if task.evaluates and evaluates:
        with torch.inference_mode():
            metrics = task.evaluate(model_with(task.head(context.model)), context)
    assert len(training.rows)
    assert all(metric.value is None or math.isfinite(metric.value) for metric in metrics)
    return training, metrics


def refusal(name: str, folder: Path, context: TaskContext) -> HarnessError | None:
    """What training and evaluation say of the rows in that folder; None where they work."""
    try:
        lived(task_on(name, folder), context, SAMPLES[name].quick)
    except HarnessError as error:
        return error
    return None


def read(name: str, folder: Path) -> None:
    """All rows of every split, as training and evaluation read them."""
    source = task_on(name, folder).source()  # type: ignore[attr-defined]
    for split in SAMPLES[name].splits:
        source.load(split)


def spoiled(sample: Sample, folder: Path, **values: Any) -> Path:
    """The rows with other values in the second one."""
    return sample.write(folder, [row | values if number == 1 else row for number, row in enumerate(sample.rows)])


@every_task
def test_good_rows_train_and_evaluate(name: str, tmp_path: Path, context_of: ContextOf, decoder_tokenizer: Any) -> None:
    """Else the other tests show nothing."""
    _, metrics = lived(task_on(name, SAMPLES[name].write(tmp_path)), context_of(decoder_tokenizer(), model_context=1024))
    assert bool(metrics) == TASKS.get(name).evaluates


@pytest.mark.parametrize("value", [99, -1, 0.5, "neither", None, True])
@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.classes])
def test_a_class_that_there_is_not_is_named_with_its_place(name: str, value: Any, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    if name == "glue/stsb" and value == 0.5:
        pytest.skip("a score")
    spoiled(sample, tmp_path, **dict.fromkeys(sample.classes, value))
    with pytest.raises(DataError, match=rf"{sample.splits[0]}\.jsonl: row 2, column {sample.classes[0]}: .*expected"):
        read(name, tmp_path)


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.answer])
def test_a_missing_answer_is_named_with_its_place(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    assert sample.answer is not None
    rows = [{key: value for key, value in row.items() if key != sample.answer or number != 1} for number, row in enumerate(sample.rows)]
    sample.write(tmp_path, rows)
    with pytest.raises(DataError, match=rf"{sample.splits[0]}\.jsonl: row 2: column '{sample.answer}' is missing, which row 1 has"):
        read(name, tmp_path)
    spoiled(sample, tmp_path, **{sample.answer: None})
    with pytest.raises(DataError, match=rf"{sample.splits[0]}\.jsonl: row 2, column {sample.answer}: .*got nothing"):
        read(name, tmp_path)


@every_task
def test_half_a_character_is_named_with_its_place(name: str, tmp_path: Path) -> None:
    """A lone surrogate, which JSON can hold and no tokenizer reads."""
    sample = SAMPLES[name]
    spoiled(sample, tmp_path, **{sample.texts[0]: "\ud83d half"})
    with pytest.raises(DataError, match=rf"{sample.splits[0]}\.jsonl: row 2, column {sample.texts[0]}: .*lone surrogate"):
        read(name, tmp_path)


@pytest.mark.parametrize("which", ["one empty", "all empty", "odd"])
@every_task
def test_empty_and_odd_texts_are_read_or_refused_with_the_file(name: str, which: str, tmp_path: Path, context_of: ContextOf, decoder_tokenizer: Any) -> None:
    sample = SAMPLES[name]
    odd = [sample.rows[number % len(sample.rows)] | dict.fromkeys(sample.texts, text) for number, text in enumerate(ODD)]
    rows = {
        "one empty": [row | dict.fromkeys(sample.texts, "") if number == 1 else row for number, row in enumerate(sample.rows)],
        "all empty": [row | dict.fromkeys(sample.texts, "") for row in sample.rows],
        "odd": [*sample.rows, *odd],
    }
    error = refusal(name, sample.write(tmp_path, rows[which]), context_of(decoder_tokenizer()))
    assert error is None or isinstance(error, DataError), "what the rows lack is not the machine's or the model's fault"
    assert error is None or str(tmp_path) in str(error)


MEGABYTE = "word " * 200_000


@pytest.mark.parametrize("name", ["glue/rte", "mmlu", "alpaca"])
def test_a_line_of_a_megabyte_is_cut_like_any_other(name: str, tmp_path: Path, context_of: ContextOf, decoder_tokenizer: Any) -> None:
    sample, context = SAMPLES[name], context_of(decoder_tokenizer())
    spoiled(sample, tmp_path, **{sample.texts[0]: MEGABYTE})
    training, _ = lived(task_on(name, tmp_path), context)
    assert max(len(row["input_ids"]) for row in training.rows) == context.max_length


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_a_line_of_a_megabyte_is_read_from_every_format(suffix: str, tmp_path: Path) -> None:
    """The csv module takes 128 KiB for a field unless it is told otherwise."""
    rows = [row | {"sentence1": MEGABYTE, "sentence2": "b"} for row in SAMPLES["glue/rte"].rows]
    write(tmp_path / f"train.{suffix}", rows)
    source = task_on("glue/rte", tmp_path).source()  # type: ignore[attr-defined]
    assert [len(text) for text in source.load("train")["sentence1"]] == [1_000_000] * 4


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@every_task
def test_another_encoding_is_named(name: str, encoding: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    sample.write(tmp_path, [{key: f"é{value}" if key == sample.texts[0] else value for key, value in row.items()} for row in sample.rows])
    for path in tmp_path.iterdir():
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(encoding))
    with pytest.raises(DataError, match=rf"{sample.splits[0]}\.jsonl: byte \d+ is not UTF-8 .*save the file as UTF-8"):
        read(name, tmp_path)


@every_task
def test_a_byte_order_mark_is_no_part_of_the_first_column(name: str, tmp_path: Path) -> None:
    SAMPLES[name].write(tmp_path)
    for path in tmp_path.iterdir():
        path.write_text(BOM + path.read_text(encoding="utf-8"), encoding="utf-8")
    read(name, tmp_path)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_a_column_that_is_there_twice_is_refused(suffix: str, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        path = tmp_path / f"{split}.{suffix}"
        if suffix == "parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array([0]), pa.array([1])], ["sentence1", "sentence2", "label", "label"]), path)
        else:
            path.write_text("sentence1,sentence2,label,label\na,b,0,1\n".replace(",", "\t" if suffix == "tsv" else ","))
    with pytest.raises(DataError, match=rf"train\.{suffix}: the column label is there twice"):
        read("glue/rte", tmp_path)


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_a_key_that_is_there_twice_is_refused(suffix: str, tmp_path: Path) -> None:
    row = '{"sentence1": "a", "sentence2": "b", "label": 0, "label": 1}'
    (tmp_path / f"train.{suffix}").write_text(row if suffix == "jsonl" else f"[{row}]")
    with pytest.raises(DataError, match=rf"train\.{suffix}.*the key 'label' is given twice"):
        read("glue/rte", tmp_path)


@pytest.mark.parametrize("missing", [("pad",), ("pad", "eos"), ("eos",)], ids="+".join)
@every_task
def test_a_tokenizer_without_special_tokens_works_or_is_refused(
    name: str, missing: tuple[str, ...], tmp_path: Path, context_of: ContextOf, decoder_tokenizer: Any
) -> None:
    tokenizer = decoder_tokenizer()
    if "pad" not in missing:
        tokenizer.pad_token = "</s>"
    for token in missing:
        setattr(tokenizer, f"{token}_token", None)
    context, folder = context_of(tokenizer), SAMPLES[name].write(tmp_path)
    model_with(task_on(name, folder).head(context.model)).config.pad_token_id = None  # the model is shared
    error = refusal(name, folder, context)
    if missing == ("pad", "eos") or error is not None:
        assert isinstance(error, Unsupported)
        assert re.search(r"the tokenizer has (no|neither a pad token nor an) end-of-text token", str(error))
        assert "eos" in missing
    else:
        assert any("has no pad token: its end-of-text token" in note for note in context.notes) == ("pad" in missing)
