"""Penn Treebank, C4 and local text: which text is read, as GPTQ's code reads it, and what is said of text that cannot be used."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from data_files import write
from pydantic import ValidationError
from tiny_models import decoder_config

from harness.errors import DataError
from harness.needs import Machine
from harness.records.schema import DataUse, Metric
from harness.suite.load import load_suite
from harness.suite.plan import make_plan
from harness.tasks.base import TASKS
from harness.tasks.perplexity.task import PerplexityTask

SENTENCES = [f"the number {number} comes before the number {number + 1} in every list of numbers" for number in range(90)]


def task_of(name: str, data: Path | str, **fields: Any) -> PerplexityTask:
    task = TASKS.get(name)(task=name, data=str(data), **fields)
    assert isinstance(task, PerplexityTask)
    return task


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(decoder_config()).eval()


@pytest.fixture
def tokenizer(decoder_tokenizer: Callable[[], Any]) -> Any:
    return decoder_tokenizer()


def evaluated(task: PerplexityTask, model: Any, context: Any) -> list[Metric]:
    task.check_data()
    with torch.inference_mode():
        return task.evaluate(model, context)


def mean_loss_perplexity(model: Any, windows: list[list[int]]) -> float:
    """exp of transformers' own loss, which is the mean over all tokens: windows are of one length."""
    losses = [float(model(torch.tensor(windows[at : at + 64]), labels=torch.tensor(windows[at : at + 64])).loss) * len(windows[at : at + 64]) for at in range(0, len(windows), 64)]
    return math.exp(sum(losses) / len(windows))


def cut(ids: list[int], length: int) -> list[list[int]]:
    return [ids[start : start + length] for start in range(0, len(ids) - length + 1, length)]


@pytest.mark.parametrize(("name", "split", "between"), [("ptb", "validation", "\n\n"), ("ptb-new", "test", " ")])
def test_penn_treebank_is_joined_as_gptqs_code_joins_it(tmp_path: Path, model: Any, tokenizer: Any, context_of: Any, name: str, split: str, between: str) -> None:
    for each in ("train", "validation", "test"):
        write(tmp_path / f"{each}.jsonl", [{"sentence": f"{each} {sentence}"} for sentence in SENTENCES])
    (metric,) = evaluated(task_of(name, tmp_path), model, context_of(tokenizer, model_context=64))
    ids = tokenizer(between.join(f"{split} {sentence}" for sentence in SENTENCES))["input_ids"]
    assert metric.value == pytest.approx(mean_loss_perplexity(model, cut(ids, 64)), rel=1e-4)
    assert (metric.split, metric.protocol) == (split, f"{name}/gptq-64")
    blocks = task_of(name, tmp_path).training_set(context_of(tokenizer, max_length=32)).rows
    training = tokenizer(between.join(f"train {sentence}" for sentence in SENTENCES))["input_ids"]
    assert [block["input_ids"].tolist() for block in blocks] == cut(training, 32)


def test_c4_is_windows_of_random_documents_that_are_long_enough(tmp_path: Path, model: Any, tokenizer: Any, context_of: Any) -> None:
    documents = [" ".join(SENTENCES[start : start + size]) for start, size in ((0, 1), (5, 9), (20, 1), (30, 12), (60, 8))]
    write(tmp_path / "validation.jsonl", [{"text": text} for text in documents])
    (metric,) = evaluated(task_of("c4", tmp_path), model, context_of(tokenizer, model_context=128, batch=16))
    chance, windows = random.Random(0), []  # GPTQ's get_c4, line by line
    for _ in range(256):
        while True:
            ids = tokenizer(documents[chance.randint(0, len(documents) - 1)])["input_ids"]
            if len(ids) >= 128:
                break
        start = chance.randint(0, len(ids) - 128 - 1)
        windows.append(ids[start : start + 128])
    assert metric.value == pytest.approx(mean_loss_perplexity(model, windows), rel=1e-4)
    assert (metric.n, metric.protocol) == (256, "c4/gptq-128")
    (first,) = evaluated(task_of("c4", tmp_path, max_eval_samples=3), model, context_of(tokenizer, model_context=128, seed=5))
    assert first.value == pytest.approx(mean_loss_perplexity(model, windows[:3]), rel=1e-4), "whatever the cell's seed"


def test_c4_new_is_the_first_1100_documents_as_one_text(tmp_path: Path, model: Any, tokenizer: Any, context_of: Any) -> None:
    documents = [f"{number} {SENTENCES[number % 90]}" for number in range(1200)]
    write(tmp_path / "validation.jsonl", [{"text": text} for text in documents])
    context = context_of(tokenizer, model_context=32, batch=64)
    (metric, strided) = evaluated(task_of("c4-new", tmp_path, protocols=("gptq", "strided"), stride=32), model, context)
    ids = tokenizer(" ".join(documents[:1100]))["input_ids"]
    assert len(ids) > 256 * 32
    assert metric.value == pytest.approx(mean_loss_perplexity(model, cut(ids[: 256 * 32], 32)), rel=1e-4)
    assert (metric.n, strided.n) == (256, 256)
    assert strided.value == pytest.approx(metric.value), "with windows that do not overlap they are the same"
    (use,) = context.used.uses()
    assert use.rows == 1100


def test_documents_of_c4_train_one_behind_the_other(tmp_path: Path, tokenizer: Any, context_of: Any) -> None:
    write(tmp_path / "train.jsonl", [{"text": text} for text in SENTENCES])
    rows = task_of("c4", tmp_path).training_set(context_of(tokenizer, max_length=32)).rows
    ids = [token for text in SENTENCES for token in tokenizer(text)["input_ids"]]
    assert [row["input_ids"].tolist() for row in rows] == cut(ids, 32)


def test_c4_slides_over_nothing_and_short_documents_are_named(tmp_path: Path, model: Any, tokenizer: Any, context_of: Any) -> None:
    with pytest.raises(ValidationError, match="take c4-new, or leave strided out"):
        task_of("c4", tmp_path, protocols=("strided",))
    write(tmp_path / "validation.jsonl", [{"text": "short"}, {"text": "short too"}])
    with pytest.raises(DataError, match=r"c4: no document is longer than a window of 64 tokens; the longest has \d+ with this tokenizer"):
        evaluated(task_of("c4", tmp_path), model, context_of(tokenizer, model_context=64))


@pytest.mark.parametrize("name", ["my novel (2).txt", "documents.jsonl", "documents.parquet"])
def test_a_file_of_ones_own(tmp_path: Path, model: Any, tokenizer: Any, context_of: Any, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".txt":
        whole, documents = "\n".join(SENTENCES) + "\n", ["\n".join(SENTENCES) + "\n"]
        path.write_bytes(("\ufeff" + whole.replace("\n", "\r\n")).encode())
    else:
        whole, documents = "\n\n".join(SENTENCES), SENTENCES
        write(path, [{"text": text} for text in SENTENCES])
    perplexity, words, _, per_byte = evaluated(task_of("text", path, protocols=("gptq", "lm-eval")), model, context_of(tokenizer))
    assert perplexity.value == pytest.approx(mean_loss_perplexity(model, cut(tokenizer(whole)["input_ids"], 256)), rel=1e-4)
    stem = "my-novel-2-" if path.suffix == ".txt" else "documents"
    name = f"text/{stem}@{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    assert (perplexity.protocol, words.protocol) == (f"{name}/gptq-256", f"{name}/lm-eval-word-256")
    assert words.n == len(documents)
    assert words.value is not None
    assert per_byte.value is not None
    text_bytes, text_words = sum(len(text.encode()) for text in documents), sum(len(text.split()) for text in documents) + (path.suffix == ".txt")
    assert math.log(words.value) * text_words == pytest.approx(per_byte.value * math.log(2) * text_bytes)


def test_two_files_of_one_name_are_two_texts_in_ids_and_among_the_rows_read(tmp_path: Path, model: Any, tokenizer: Any, context_of: Any) -> None:
    context, ids = context_of(tokenizer), []
    for folder, texts in (("one", SENTENCES), ("two", SENTENCES[:50])):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "notes.jsonl", [{"text": text} for text in texts])
        ids += [metric.protocol for metric in evaluated(task_of("text", tmp_path / folder / "notes.jsonl"), model, context)]
    assert len(set(ids)) == 2
    assert [use.rows for use in context.used.uses()] == [len(SENTENCES), 50]


def test_a_folder_of_ones_own_trains_too_and_one_file_does_not(tmp_path: Path, tokenizer: Any, context_of: Any) -> None:
    (tmp_path / "test.txt").write_text("\n".join(SENTENCES[:40]))
    (tmp_path / "train.txt").write_text("\n".join(SENTENCES[30:]))
    task, context = task_of("text", tmp_path), context_of(tokenizer, max_length=32)
    assert task.unsupported(None, trains=True) is None
    blocks = task.training_set(context).rows
    assert [row["input_ids"].tolist() for row in blocks] == cut(tokenizer("\n".join(SENTENCES[30:]))["input_ids"], 32)
    task.look_at_evaluation_rows(context)
    assert {use.role: (use.rows, use.trained_on) for use in context.used.uses()} == {"training": (60, None), "evaluation": (40, 10)}
    assert [path.name for path in task.local_files()] == ["test.txt", "train.txt"]
    alone = task_of("text", tmp_path / "test.txt")
    assert "give `data:` a folder that has test.txt and train.txt" in (alone.unsupported(None, trains=True) or "")


def test_headings_and_short_lines_are_in_every_text_and_no_leakage(tmp_path: Path, tokenizer: Any, context_of: Any) -> None:
    for split, last in (("train", "a"), ("test", "another")):
        rows = [" = = Early life and what came of it in the years after that = = \n", "", " He was born . \n", SENTENCES[0], f"{SENTENCES[1]} {last}"]
        write(tmp_path / f"{split}.jsonl", [{"text": row} for row in rows])
    context = context_of(tokenizer, max_length=8)
    task = task_of("wikitext2", tmp_path, max_eval_samples=1)
    task.training_set(context)
    task.look_at_evaluation_rows(context)
    uses: dict[str, DataUse] = {use.role: use for use in context.used.uses()}
    assert (uses["evaluation"].rows, uses["evaluation"].trained_on, uses["evaluation"].trained_on_normalised) == (5, 1, 1)


def test_a_line_of_a_megabyte_is_read_whole(tmp_path: Path, tokenizer: Any, context_of: Any) -> None:
    (tmp_path / "test.txt").write_text("word " * 200_000 + "x" * 10_000)
    task = task_of("text", tmp_path)
    (rows,) = [task.evaluation_rows("test", context_of(tokenizer))["text"]]
    assert len(rows) == 1
    tokens = task.evaluated_tokens(rows, 64, context_of(tokenizer))
    assert tokenizer.decode(tokens[-12_000:]).endswith("word word " + "x" * 10_000)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.txt", b"", "split test of text has no rows"),
        ("blank.txt", b" \n\n \n", "split test of text has no rows"),
        ("blank.jsonl", b'{"text": " "}\n{"text": ""}\n', "split test has no text: its 2 rows are blank"),
        ("latin.txt", "naïve".encode("latin-1"), "byte 2 is not UTF-8"),
        ("other.jsonl", b'{"body": "a text"}\n', "no column text for text; it has body"),
        ("number.jsonl", b'{"text": 5}\n', "row 1, column text: expected a text; got 5"),
        ("page.html", b"<p>", r"a text is read from \.txt, \.parquet"),
        ("short.txt", b"a few words", r"text: the test split has \d+ tokens with this tokenizer; one block takes 256"),
    ],
)
def test_text_that_cannot_be_used_is_refused(tmp_path: Path, model: Any, tokenizer: Any, context_of: Any, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        evaluated(task_of("text", tmp_path / name), model, context_of(tokenizer))


def test_a_column_by_another_name(tmp_path: Path, model: Any, tokenizer: Any, context_of: Any) -> None:
    (tmp_path / "test.jsonl").write_text("".join(json.dumps({"body": text, "n": 1}) + "\n" for text in SENTENCES))
    assert evaluated(task_of("text", tmp_path, column="body"), model, context_of(tokenizer))[0].n == len(tokenizer("\n\n".join(SENTENCES))["input_ids"]) // 256


def test_places_without_a_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"give `data:` a file \(\.txt, \.jsonl \.\.\.\) or a folder"):
        task_of("text", "hub").check_data()
    with pytest.raises(DataError, match="no such folder"):
        task_of("text", tmp_path / "missing.txt").check_data()
    (tmp_path / "test.txt").write_text("one")
    write(tmp_path / "test.jsonl", [{"text": "two"}])
    with pytest.raises(DataError, match=r"several files for the split test, test\.txt among them"):
        task_of("text", tmp_path).check_data()
    with pytest.raises(DataError, match="there is no micro data for it"):
        task_of("ptb", "micro").check_data()


def test_a_suite_names_protocols_and_a_file_next_to_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("\n".join(SENTENCES))
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "name: s\nmodels: [{id: m, source: 'micro:decoder'}]\nmethods: [zero-shot]\n"
        "tasks: [{id: mine, task: text, data: mine.txt, protocols: [gptq, lm-eval, strided], window: 256, stride: 64}]\n"
    )
    (cell,) = make_plan(load_suite(suite), Machine()).cells
    task = cell.config.task
    assert isinstance(task, PerplexityTask)
    assert (task.protocols, task.window, task.stride, task.data) == (("gptq", "lm-eval", "strided"), 256, 64, str(tmp_path / "mine.txt"))
