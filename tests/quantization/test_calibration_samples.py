"""Which tokens a calibration gives: drawn as the GPTQ code draws, cut to the context, with a warning where there are too few."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from harness.errors import DataError
from harness.micro import model_path
from harness.models.base import ModelConfig
from harness.models.facts import read_facts
from harness.quantization.calibration import Calibration
from harness.quantization.calibration_samples import Drawn, draw_samples
from harness.tasks.base import TASKS

TOKENIZER = AutoTokenizer.from_pretrained(model_path("decoder"))
WARNING = "weights that are quantized on too little text can be much worse"


def drawn(task: str = "wikitext2", **fields: Any) -> Drawn:
    facts = read_facts(ModelConfig(source="micro:decoder"))
    assert facts is not None
    chosen = TASKS.get(task).model_validate({"task": task, "data": "micro"})
    return draw_samples(Calibration.model_validate(fields), TOKENIZER, facts, chosen)


def tokens(text: str) -> list[int]:
    return TOKENIZER(text)["input_ids"]


def write(folder: Path, column: str, texts: list[str]) -> str:
    (folder / "train.jsonl").write_text("".join(json.dumps({column: text}) + "\n" for text in texts))
    return str(folder)


def sentences(count: int) -> list[str]:
    return [f"the number {index} comes before {index + 1}" for index in range(count)]


@pytest.mark.parametrize(("name", "column", "between"), [("wikitext2", "text", "\n\n"), ("ptb", "sentence", "\n\n"), ("ptb-new", "sentence", " ")])
def test_running_text_gives_the_windows_that_gptqs_code_takes(tmp_path: Path, name: str, column: str, between: str) -> None:
    found = drawn(set=name, data=write(tmp_path, column, sentences(60)), samples=5, length=32, seed=3)
    whole = tokens(between.join(sentences(60)))
    chance = random.Random(3)
    starts = [chance.randint(0, len(whole) - 32 - 1) for _ in range(5)]
    assert [sample.tolist() for sample in found.samples] == [whole[start : start + 32] for start in starts]
    assert (found.seen.set, found.seen.samples, found.seen.tokens, found.seen.shortest) == (name, 5, 160, 32)
    assert found.notes == []


@pytest.mark.parametrize("name", ["c4", "c4-new"])
def test_documents_give_a_window_each_and_short_ones_are_drawn_again(tmp_path: Path, name: str) -> None:
    long, short = " ".join(sentences(9)), "too short"
    found = drawn(set=name, data=write(tmp_path, "text", [short, long, short]), samples=4, length=16)
    within = tokens(long)
    windows = [within[start : start + 16] for start in range(len(within) - 16)]
    assert len(found.samples) == 4
    assert all(sample.tolist() in windows for sample in found.samples)


def test_documents_that_are_all_too_short_are_taken_longest_first_with_a_warning(tmp_path: Path) -> None:
    found = drawn(set="c4", data=write(tmp_path, "text", ["a", "a longer text", "a long text"]), samples=2, length=256)
    assert [sample.tolist() for sample in found.samples] == sorted((tokens(text) for text in ("a longer text", "a long text")), key=len, reverse=True)
    assert found.notes == [
        f"calibration on c4: 2 of 2 samples are shorter than 256 tokens, the shortest has {found.seen.shortest}: {WARNING}"
    ]


def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    one, same, other = (drawn(set="micro", samples=3, length=16, seed=seed) for seed in (1, 1, 2))
    assert [sample.tolist() for sample in one.samples] == [sample.tolist() for sample in same.samples]
    assert [sample.tolist() for sample in one.samples] != [sample.tolist() for sample in other.samples]


def test_samples_are_cut_to_the_models_context_with_a_note() -> None:
    found = drawn(set="micro", samples=2)
    assert found.seen.shortest == 512
    assert found.notes == ["calibration: samples are cut to the model's context of 512 tokens; 2048 were asked for"]


def test_a_text_with_fewer_tokens_than_asked_for_overlaps_with_a_note(tmp_path: Path) -> None:
    found = drawn(set="ptb", data=write(tmp_path, "sentence", sentences(10)), samples=100, length=16)
    assert found.seen.samples == 100
    (note,) = found.notes
    assert "fewer than the samples', which overlap" in note


def test_the_tasks_own_training_inputs_calibrate() -> None:
    found = drawn("glue/sst2", set="task", samples=4, length=64)
    task = TASKS.get("glue/sst2").model_validate({"task": "glue/sst2", "data": "micro"})
    rows = task.source().load("train")
    inputs = {tuple(TOKENIZER(text)["input_ids"]) for text in rows["sentence"]}
    assert len(found.samples) == 4
    assert all(tuple(sample.tolist()) in inputs for sample in found.samples)


@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_a_file_gives_a_sample_a_line_cut_to_the_length(tmp_path: Path, suffix: str) -> None:
    path, texts = tmp_path / f"own{suffix}", ["one line", "another, longer line of text", "a third"]
    path.write_text("\n\n".join(json.dumps({"text": text}) if suffix == ".jsonl" else text for text in texts) + "\n")
    found = drawn(file=str(path), samples=3, length=3)
    assert [sample.tolist() for sample in found.samples] == [tokens(text)[:3] for text in texts]
    fewer = drawn(file=str(path), samples=2, length=3)
    assert len(fewer.samples) == 2


def test_too_few_and_too_short_texts_are_a_warning() -> None:
    found = drawn(texts=["one text", "two"], samples=8, length=64)
    (note,) = found.notes
    assert note.startswith("calibration on the texts given: 2 samples instead of 8; 2 of 2 samples are shorter than 64 tokens")
    assert note.endswith(WARNING)


def test_a_file_with_the_wrong_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"content": "a"}\n')
    with pytest.raises(DataError, match="no key text; its first row has content"):
        drawn(file=str(path))
    path.write_text('{"text": "a"}\n{"text": 3}\n')
    with pytest.raises(DataError, match="row 2: expected a text under the key text, found int"):
        drawn(file=str(path))
