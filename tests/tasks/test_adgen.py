"""AdvertiseGen: loss on the advertisement alone, lengths of the recipe, and scores over characters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny_models import decoder_config

from harness.tasks.adgen import AdvertiseGen, characters
from harness.tasks.base import TaskContext

ContextOf = Callable[..., TaskContext]
ROWS = [
    {"content": "类型#裤*版型#宽松*风格#性感", "summary": "宽松的阔腿裤这两年真的吸粉不少。"},
    {"content": "类型#裙*颜色#蓝色", "summary": "蓝色的裙 子很好看。"},
]


def adgen(data: Path, **fields: Any) -> AdvertiseGen:
    return AdvertiseGen(task="adgen", data=str(data), **fields)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split in ("train", "dev"):
        pd.DataFrame(ROWS).to_json(tmp_path / f"{split}.json", orient="records", lines=True, force_ascii=False)
    return tmp_path


def test_the_loss_is_on_the_advertisement_alone(data: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokenizer = decoder_tokenizer()
    training = adgen(data).training_set(context_of(tokenizer, max_length=400))
    for row, source in zip(training.rows, ROWS, strict=True):
        prompt = tokenizer(source["content"] + "\n")["input_ids"]
        assert row["input_ids"] == [*prompt, *tokenizer(source["summary"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        assert row["labels"] == [-100] * len(prompt) + row["input_ids"][len(prompt) :]
    batch = training.collator(training.rows)
    short = len(training.rows[1]["input_ids"])
    assert batch["labels"][1, short:].tolist() == [-100] * (batch["labels"].shape[1] - short)
    assert batch["attention_mask"][1].sum() == short


def test_lengths_are_those_of_the_recipe_and_cut_what_is_longer(data: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    assert (adgen(data).max_source_length, adgen(data).max_target_length) == (512, 1536)
    context = context_of(decoder_tokenizer(), max_length=400)
    rows = adgen(data, max_source_length=10, max_target_length=6).training_set(context).rows
    assert [len(row["input_ids"]) for row in rows] == [16, 16]
    assert [row["labels"].count(-100) for row in rows] == [10, 10]
    assert "adgen, training: 2 of 2 prompts were too long and lost their end" in context.notes


def test_scores_are_nltks_and_rouge_scores_over_characters(data: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    texts = ["宽松的裤子真的好看。", "蓝色的裙子。"]
    references = [[row["summary"]] for row in ROWS]
    scores = {score.name: score for score in adgen(data).scores(texts, references)}
    expected = [sentence_bleu([list(row[0].replace(" ", ""))], list(text), smoothing_function=SmoothingFunction().method3) for text, row in zip(texts, references, strict=True)]
    assert scores["bleu_4"].items == pytest.approx(expected)
    shared = sum(min(texts[1].count(one), ROWS[1]["summary"].count(one)) for one in set(texts[1]))
    assert scores["rouge_1"].items is not None
    assert scores["rouge_1"].items[1] == pytest.approx(2 * shared / (len(texts[1]) + len(characters(ROWS[1]["summary"]))))
    assert scores["rouge_l"].value is not None
    assert scores["rouge_l"].value > 0
    assert (scores["bleu"].scorer, scores["bleu_4"].scorer) == ("sacrebleu-zh", "characters")


def test_it_is_evaluated_on_the_dev_file(data: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(decoder_config()).eval()
    context = context_of(decoder_tokenizer())
    with torch.inference_mode():
        metrics = adgen(data, max_new_tokens=8).evaluate(model, context)
    assert [metric.name for metric in metrics] == ["bleu_4", "rouge_1", "rouge_2", "rouge_l", "bleu"]
    assert {(metric.n, metric.split) for metric in metrics} == {(2, "validation")}
    assert metrics[0].protocol == "adgen/characters/source512-greedy-8"
