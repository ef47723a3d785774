"""Summarisation: prompts of both kinds of model, documents cut and not their prompts, ROUGE as run_summarization.py takes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny_models import decoder_config

from harness.errors import DataError
from harness.tasks.base import TASKS, TaskContext
from harness.tasks.summarisation import Summarisation, one_sentence_a_line

ContextOf = Callable[..., TaskContext]
ROWS = [
    {"document": "The baker lost his crown. He found it in the evening.", "summary": "A baker found his crown."},
    {"document": "It rained for days.", "summary": "Rain."},
    {"document": "", "summary": "Of nothing."},
]


def xsum(data: Path, **fields: Any) -> Summarisation:
    found = TASKS.get("xsum")(task="xsum", data=str(data), **fields)
    assert isinstance(found, Summarisation)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        pd.DataFrame(ROWS).to_csv(tmp_path / f"{split}.csv", index=False)
    return tmp_path


def test_a_decoder_is_asked_with_tldr(data: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokenizer = decoder_tokenizer()
    context = context_of(tokenizer, max_length=200)
    rows = xsum(data).training_set(context).rows
    assert [tokenizer.decode(row["input_ids"]) for row in rows] == [
        "<s>The baker lost his crown. He found it in the evening.\nTL;DR: A baker found his crown.</s>",
        "<s>It rained for days.\nTL;DR: Rain.</s>",
    ]
    assert "xsum: 1 of 3 training rows have no input or no target and were left out" in context.notes


def test_an_encoder_decoder_is_asked_as_t5(data: Path, encoder_decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokenizer = encoder_decoder_tokenizer()
    rows = xsum(data).training_set(context_of(tokenizer, "encoder-decoder", max_length=200)).rows
    assert rows[1] == {"input_ids": tokenizer("summarize: It rained for days.")["input_ids"], "labels": tokenizer("Rain.")["input_ids"]}


def test_a_long_document_loses_its_end_and_keeps_the_prompt(data: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokenizer = decoder_tokenizer()
    context = context_of(tokenizer, max_length=200)
    rows = xsum(data, max_source_length=24, max_target_length=3).training_set(context).rows
    assert tokenizer.decode(rows[0]["input_ids"]).startswith("<s>The baker")
    assert "\nTL;DR: " in tokenizer.decode(rows[0]["input_ids"])
    assert rows[0]["labels"].index(next(label for label in rows[0]["labels"] if label != -100)) == 24
    assert sum(label != -100 for label in rows[0]["labels"]) == 3
    assert "xsum, training: 1 of 2 prompts were too long and lost their end" in context.notes
    assert "xsum, training: 2 of 2 responses were too long and lost their end" in context.notes


def test_rouge_is_that_of_the_texts_with_a_sentence_a_line(data: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    from rouge_score.rouge_scorer import RougeScorer
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(decoder_config()).eval()
    tokenizer = decoder_tokenizer()
    context = context_of(tokenizer)
    with torch.inference_mode():
        metrics = {metric.name: metric for metric in xsum(data, num_beams=1, no_repeat_ngram_size=0, max_new_tokens=40).evaluate(model, context)}
    scorer, expected = RougeScorer(["rouge1", "rougeLsum"], use_stemmer=True), []
    for row in ROWS[:2]:
        ids = torch.tensor([tokenizer(row["document"])["input_ids"] + tokenizer("\nTL;DR:", add_special_tokens=False)["input_ids"]])
        text = tokenizer.decode(model.generate(ids, max_new_tokens=40, do_sample=False, pad_token_id=1)[0, ids.shape[1] :], skip_special_tokens=True)
        expected.append(scorer.score(one_sentence_a_line(row["summary"]), one_sentence_a_line(text.strip())))
    assert metrics["rouge_1"].items == pytest.approx([score["rouge1"].fmeasure for score in expected])
    assert metrics["rouge_lsum"].items == pytest.approx([score["rougeLsum"].fmeasure for score in expected])
    assert list(metrics) == ["rouge_1", "rouge_2", "rouge_l", "rouge_lsum"]
    assert metrics["rouge_1"].protocol == "xsum/rouge-score-stemmed/source1024-greedy-40"
    assert metrics["rouge_1"].n == 2


def test_sentences_stand_a_line_each_which_rouge_lsum_alone_sees() -> None:
    from harness.tasks.generation.scores import rouge

    reference = "The baker came home. He found the crown. It was gold."
    shuffled = "It was gold. The baker came home. He found the crown."
    assert one_sentence_a_line(reference) == "The baker came home.\nHe found the crown.\nIt was gold."
    scores = {score.name: score.value for score in rouge([one_sentence_a_line(shuffled)], [[one_sentence_a_line(reference)]], ["rougeL", "rougeLsum"], use_stemmer=True)}
    assert scores["rouge_lsum"] == pytest.approx(1.0)
    assert scores["rouge_l"] is not None
    assert scores["rouge_l"] < 0.8


def test_cnn_dailymail_has_columns_and_search_of_its_own(tmp_path: Path) -> None:
    pd.DataFrame([{"article": "Text.", "highlights": "One .\nTwo ."}]).to_parquet(tmp_path / "test.parquet")
    task = TASKS.get("cnn_dailymail")(task="cnn_dailymail", data=str(tmp_path))
    task.check_data()
    assert isinstance(task, Summarisation)
    assert task.decoding.id == "beam4-lp2-norepeat3-128"
    with pytest.raises(DataError, match="no column document, summary for xsum; it has article, highlights"):
        xsum(tmp_path).check_data()
