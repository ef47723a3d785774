"""Soft prompts at the input on every family: all checks of a trial, what they begin as, padding, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from harness.errors import Unsupported
from harness.needs import ModelFacts
from harness.quantization.base import SCHEMES
from tests.methods.trials import CLASSIFY, DECODERS, FAMILIES, failed, method, trial

LENGTH = {"num_virtual_tokens": 6}
METHODS = {
    "prompt-tuning": LENGTH,
    "multitask-prompt-tuning": LENGTH,
    "p-tuning": LENGTH | {"encoder_hidden_size": 24},
}
NONE = SCHEMES.get("none")(scheme="none")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        *(("prompt-tuning", family) for family in FAMILIES),
        *(("p-tuning", family) for family in ("bert", "opt", "llama", "glm", "t5")),
        *(("multitask-prompt-tuning", family) for family in ("deberta-v2", "gpt2", "bloom", "t5", "bart")),
    ],
)
def test_soft_prompts_work_on_every_family(name: str, family: str, tmp_path: Path) -> None:
    assert not failed(trial(method(name, **METHODS[name]), family, tmp_path).run())


@pytest.mark.parametrize(("name", "scheme"), [("prompt-tuning", "bnb-int8"), ("multitask-prompt-tuning", "bnb-nf4"), ("p-tuning", "bnb-nf4")])
def test_soft_prompts_work_on_quantized_weights(name: str, scheme: str, tmp_path: Path) -> None:
    assert not failed(trial(method(name, **METHODS[name]), "llama", tmp_path, scheme=scheme).run())


@pytest.mark.parametrize("fields", [{}, {"encoder_reparameterization_type": "MLP"}, {"encoder_num_layers": 1}], ids=str)
def test_every_prompt_encoder_has_its_count(fields: dict, tmp_path: Path) -> None:
    assert not failed(trial(method("p-tuning", **fields), "gpt2", tmp_path).run())


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_classifies_at_the_last_token_whatever_the_padding(family: str, tmp_path: Path) -> None:
    tried = trial(method("prompt-tuning", **LENGTH), family, tmp_path, head=CLASSIFY)
    model, ids, mask = tried.attached(), tried.batch["input_ids"], tried.batch["attention_mask"]
    padded = tried.logits(model)[3]
    with torch.no_grad():
        alone = model(input_ids=ids[3:, : int(mask[3].sum())], attention_mask=mask[3:, : int(mask[3].sum())]).logits[0]
    assert int(mask[3].sum()) < ids.shape[1]
    assert torch.allclose(padded, alone, atol=1e-4)
    with tried.method.off(model):
        assert torch.equal(tried.logits(model), tried.logits(tried.load()))


def test_a_decoder_that_classifies_passes_every_check(tmp_path: Path) -> None:
    assert not failed(trial(method("prompt-tuning", **LENGTH), "gpt2", tmp_path, head=CLASSIFY).run())


def test_on_an_encoder_the_head_reads_a_virtual_token_and_the_record_says_so(tmp_path: Path) -> None:
    tried = trial(method("prompt-tuning"), "bert", tmp_path)
    tried.attached()
    assert tried.attachment.notes == ["virtual tokens stand before the whole text: a head that reads the first position reads the first of them"]


def begun(tmp_path: Path, family: str = "gpt2", **fields: object) -> tuple[torch.Tensor, torch.Tensor, object]:
    """(the prompt as it begins, the model's embeddings, the tokenizer)"""
    tried = trial(method("prompt-tuning", **fields), family, tmp_path, head=CLASSIFY)
    weight = tried.attached().prompt_encoder["default"].embedding.weight
    return weight.detach(), tried.base.get_input_embeddings().weight.detach(), tried.attachment.tokenizer


def test_a_text_is_repeated_to_the_prompts_length(tmp_path: Path) -> None:
    text = "is this review good"
    prompt, embeddings, tokenizer = begun(tmp_path, prompt_tuning_init="text", prompt_tuning_init_text=text)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert torch.equal(prompt, embeddings[(ids * 20)[:20]])


@pytest.mark.parametrize(("fields", "words"), [({}, ("terrible", "great")), ({"prompt_tuning_init_labels": ["bad", "very good"]}, ("bad", "very good"))])
def test_class_labels_come_first_and_the_rest_is_sampled(fields: dict, words: tuple[str, ...], tmp_path: Path) -> None:
    prompt, embeddings, tokenizer = begun(tmp_path, prompt_tuning_init="class-labels", init_vocabulary=50, **fields)
    for row, word in zip(prompt, words, strict=False):
        assert torch.allclose(row, embeddings[tokenizer(word, add_special_tokens=False)["input_ids"]].mean(dim=0))
    assert all(any(torch.equal(row, embedding) for embedding in embeddings[:50]) for row in prompt[len(words) :])


def test_more_labels_than_virtual_tokens_are_cut(tmp_path: Path) -> None:
    prompt, *_ = begun(tmp_path, prompt_tuning_init="class-labels", num_virtual_tokens=1)
    assert prompt.shape == (1, 64)


def test_a_random_prompt_is_uniform(tmp_path: Path) -> None:
    prompt, *_ = begun(tmp_path, prompt_tuning_init="random", init_range=0.25)
    assert 0.2 < float(prompt.abs().max()) <= 0.25


def test_a_scaled_embedding_is_begun_with_as_the_model_reads_it(tmp_path: Path) -> None:
    tried = trial(method("prompt-tuning", prompt_tuning_init="text", prompt_tuning_init_text="good"), "bart", tmp_path)
    model = tried.attached()
    embeddings = model.get_base_model().get_input_embeddings()
    with torch.no_grad():
        read = embeddings(torch.tensor(tried.attachment.tokenizer("good", add_special_tokens=False)["input_ids"]))
    assert torch.equal(model.prompt_encoder["default"].embedding.weight[: len(read)], read)


def test_labels_need_a_task_with_classes(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="the task has no classes; name words"):
        trial(method("prompt-tuning", prompt_tuning_init="class-labels"), "gpt2", tmp_path).attached()


def test_an_encoder_decoder_that_classifies_takes_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="take no embeddings for classification"):
        trial(method("p-tuning"), "bart", tmp_path, head=CLASSIFY).attached()


def test_a_prompt_longer_than_the_context_is_refused_by_the_plan() -> None:
    facts = ModelFacts("gpt2", "decoder", context=256)
    assert "leaves nothing of the model's context of 256" in str(method("p-tuning", num_virtual_tokens=256).unsupported(facts, NONE))
    assert method("prompt-tuning", num_virtual_tokens=255).unsupported(facts, NONE) is None
    assert method("prompt-tuning", num_virtual_tokens=999).unsupported(replace(facts, context=None), NONE) is None
    assert method("prompt-tuning", num_virtual_tokens=7).virtual_tokens == 7


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("prompt-tuning", {"prompt_tuning_init": "text"}),
        ("prompt-tuning", {"prompt_tuning_init_text": "good"}),
        ("prompt-tuning", {"prompt_tuning_init_labels": ["good"]}),
        ("p-tuning", {"encoder_reparameterization_type": "MLP", "encoder_num_layers": 3}),
    ],
)
def test_fields_that_would_do_nothing_are_refused(name: str, fields: dict) -> None:
    with pytest.raises(ValidationError, match=r"go together|goes with|the LSTM's"):
        method(name, **fields)


def test_budgets_choose_the_length_or_the_encoders_width(tmp_path: Path) -> None:
    assert trial(method("prompt-tuning", budget={"trainable_parameters": 640}), "gpt2", tmp_path).method.num_virtual_tokens == 10
    chosen = trial(method("p-tuning", budget={"trainable_parameters": "20k"}), "gpt2", tmp_path)
    assert abs(chosen.method.count(chosen.attachment.anatomy) - 20_000) < 2_000
