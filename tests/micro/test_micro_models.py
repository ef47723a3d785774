"""The embedded models are models: they load as any folder does, and know their language."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from finetune import fine_tune
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from harness.micro import FOLDER, MODELS, data_path, model_path
from harness.micro.articles import joined
from harness.micro.corpus import passages
from harness.micro.objectives import corrupted_spans
from harness.micro.quiz import LETTERS, Question, heading, solved
from harness.micro.world import make_world

CLASSES = {"decoder": AutoModelForCausalLM, "encoder": AutoModelForMaskedLM, "seq2seq": AutoModelForSeq2SeqLM}
STRANGE = " A naïve — “北京” 😀\n\n = Heading = \n\t x_3 @-@ 7² \x00"


@pytest.fixture(autouse=True)
def two_threads() -> None:
    torch.set_num_threads(2)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_models_and_data_stay_small() -> None:
    assert size(FOLDER / "models") <= 8_000_000
    assert size(FOLDER / "data") <= 2_000_000


@pytest.mark.parametrize("name", MODELS)
def test_a_model_loads_whole_in_single_precision(name: str) -> None:
    model, info = CLASSES[name].from_pretrained(model_path(name), output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    assert model.dtype == torch.float32
    parameters = sum(p.numel() for p in model.parameters())
    assert (1_000_000 if name == "decoder" else 500_000) <= parameters <= 3_000_000
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_an_encoder_with_a_new_head_lacks_only_the_head() -> None:
    _, info = AutoModelForSequenceClassification.from_pretrained(model_path("encoder"), num_labels=3, output_loading_info=True)
    assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("name", MODELS)
def test_any_text_can_be_tokenized(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_path(name))
    ids = tokenizer(STRANGE)["input_ids"]
    if tokenizer.unk_token_id is not None:
        assert tokenizer.unk_token_id not in ids
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    assert decoded.strip() == (STRANGE.lower() if name == "encoder" else STRANGE).strip()
    assert max(ids) < len(tokenizer)


def test_each_architecture_has_its_special_tokens() -> None:
    decoder, encoder, seq2seq = (AutoTokenizer.from_pretrained(model_path(name)) for name in MODELS)
    ids = decoder("the")["input_ids"]
    assert ids[0] == decoder.bos_token_id
    assert len({decoder.pad_token_id, decoder.eos_token_id, decoder.bos_token_id}) == 3
    pair = encoder("one", "two")
    assert pair["input_ids"][0] == encoder.cls_token_id
    assert [i for i in pair["input_ids"] if i == encoder.sep_token_id] == [encoder.sep_token_id] * 2
    assert set(pair["token_type_ids"]) == {0, 1}
    assert encoder.mask_token_id is not None
    assert seq2seq("the")["input_ids"][-1] == seq2seq.eos_token_id
    assert AutoModelForSeq2SeqLM.from_pretrained(model_path("seq2seq")).config.decoder_start_token_id == seq2seq.pad_token_id
    assert [t.model_max_length for t in (decoder, encoder, seq2seq)] == [512, 256, 512]


@torch.no_grad()
def test_the_decoder_knows_held_out_text_five_times_better_than_word_counts() -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_path("decoder"))
    model = AutoModelForCausalLM.from_pretrained(model_path("decoder")).eval()
    train, test = (
        tokenizer(joined(pq.read_table(data_path("wikitext") / f"{split}.parquet")["text"].to_pylist()), verbose=False)["input_ids"]
        for split in ("train", "test")
    )
    windows = torch.tensor(test[: len(test) // 512 * 512]).view(-1, 512)
    perplexity = math.exp(sum(model(window[None], labels=window[None]).loss.item() for window in windows) / len(windows))
    predicted = windows[:, 1:].flatten().tolist()
    counts = Counter(train)
    total = len(train) + len(tokenizer)  # add-one smoothing
    unigram = math.exp(-sum(math.log((counts[token] + 1) / total) for token in predicted) / len(predicted))
    print(f"decoder perplexity {perplexity:.2f}, unigram {unigram:.1f}, tokens {len(predicted)}")
    assert perplexity <= unigram / 5


@torch.no_grad()
def test_the_decoder_answers_the_five_shot_quiz_better_than_chance() -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_path("decoder"))
    model = AutoModelForCausalLM.from_pretrained(model_path("decoder")).eval()
    dev, test = ([Question(r["question"], r["subject"], tuple(r["choices"]), r["answer"]) for r in pq.read_table(data_path("mmlu") / f"{s}.parquet").to_pylist()] for s in ("dev", "test"))
    letters = [tokenizer(f" {letter}", add_special_tokens=False)["input_ids"] for letter in LETTERS]
    assert all(len(ids) == 1 for ids in letters)
    right = []
    for row in test:
        shots = "".join(solved(shot) for shot in dev if shot.subject == row.subject)
        prompt = heading(row.subject) + shots + solved(row).removesuffix(f" {LETTERS[row.answer]}\n\n")
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        assert ids.shape[1] <= 480
        logits = model(ids).logits[0, -1, [i[0] for i in letters]]
        right.append(int(logits.argmax()) == row.answer)
    print(f"micro-mmlu 5-shot accuracy {sum(right) / len(right):.3f} over {len(right)}")
    assert sum(right) / len(right) > 0.35


@torch.no_grad()
def test_the_encoder_decoder_restores_held_out_spans() -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_path("seq2seq"))
    model = AutoModelForSeq2SeqLM.from_pretrained(model_path("seq2seq")).eval()
    batches = islice(corrupted_spans(passages(make_world(), seed=1234), tokenizer, 32, random.Random(5)), 8)
    loss = sum(model(**batch).loss.item() for batch in batches) / 8
    print(f"seq2seq loss {loss:.3f}, uniform {math.log(len(tokenizer)):.3f}")
    assert loss < math.log(len(tokenizer)) / 2


@pytest.mark.parametrize("task", ["sst2", *(pytest.param(task, marks=pytest.mark.slow) for task in ("cola", "mrpc", "rte"))])
def test_tuning_the_encoder_clearly_beats_the_majority_class(task: str) -> None:
    tuned = fine_tune(task, lora=False)
    print(f"{task}: before {tuned.before:.3f}, after {tuned.after:.3f}, majority {tuned.majority:.3f}")
    assert tuned.after > tuned.majority + 0.06  # 2.5 standard errors at 400 rows


@pytest.mark.slow
def test_tuning_the_encoder_learns_similarity() -> None:
    tuned = fine_tune("stsb", lora=False)
    print(f"stsb: Pearson before {tuned.before:.3f}, after {tuned.after:.3f}")
    assert tuned.after > 0.5


@pytest.mark.slow
def test_low_rank_tuning_learns_too() -> None:
    tuned = fine_tune("mrpc", lora=True, learning_rate=2e-3)
    print(f"mrpc, lora: before {tuned.before:.3f}, after {tuned.after:.3f}, majority {tuned.majority:.3f}")
    assert tuned.after > tuned.majority + 0.06
