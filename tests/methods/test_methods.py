"""none, full and lora on the micro models and every scheme: what is trainable, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.errors import Unsupported
from harness.methods.base import METHODS, Attachment, Method
from harness.methods.targets import family_targets
from harness.models.base import ModelConfig
from harness.models.dissect import anatomy_of
from harness.models.load import head_modules, load_facts, load_model, load_tokenizer
from harness.models.sizes import count_parameters
from harness.quantization.base import SCHEMES
from harness.tasks.base import Head

CLASSIFY = Head("sequence-classification", 2)
HEADS = {"encoder": CLASSIFY, "decoder": Head("causal-lm"), "seq2seq": Head("seq2seq-lm")}


def method(name: str, **fields: object) -> Method:
    return METHODS.get(name)(method=name, **fields)


def attach(of: Method, model_name: str, tmp_path: Path, scheme: str = "none", head: Head | None = None, checkpointing: bool = False):
    """(model with the method, facts, tokenizer)"""
    config = ModelConfig(source=f"micro:{model_name}", dtype="float32")
    tokenizer, facts = load_tokenizer(config, tmp_path), load_facts(config, tmp_path)
    stored = SCHEMES.get(scheme)(scheme=scheme)
    head = head or HEADS[model_name]
    model = load_model(config, head, stored, "cpu", tmp_path)
    anatomy = anatomy_of(model, head_modules(model) if head.kind == "sequence-classification" else [])
    torch.manual_seed(0)
    return of.attach(model, Attachment(facts, anatomy, stored, head.kind, 10, checkpointing, 0, [])), facts, tokenizer


def loss_of(model: torch.nn.Module, tokenizer, head: Head) -> torch.Tensor:
    batch = tokenizer(["a small cat sits", "the dog"], padding=True, return_tensors="pt")
    batch = {name: value for name, value in batch.items() if name in ("input_ids", "attention_mask")}
    labels = torch.tensor([0, 1]) if head.kind == "sequence-classification" else batch["input_ids"]
    return model(**batch, labels=labels).loss


def test_none_trains_nothing_and_full_trains_all(tmp_path: Path) -> None:
    untuned, *_ = attach(method("none"), "decoder", tmp_path)
    tuned, *_ = attach(method("full"), "decoder", tmp_path)
    assert count_parameters(untuned).trainable == 0
    assert count_parameters(tuned).trainable == count_parameters(tuned).total


def test_full_tuning_of_quantized_weights_is_refused_by_the_plan() -> None:
    for name, cls in SCHEMES.items():
        reason = method("full").unsupported(None, cls(scheme=name))
        assert (reason is None) == (name == "none"), reason


@pytest.mark.parametrize("scheme", ["none", "bnb-int8", "bnb-nf4-dq"])
@pytest.mark.parametrize("model_name", ["encoder", "decoder", "seq2seq"])
def test_lora_trains_its_matrices_and_the_head_only(model_name: str, scheme: str, tmp_path: Path) -> None:
    model, _, tokenizer = attach(method("lora", r=4, target_modules="all-linear"), model_name, tmp_path, scheme)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trainable
    assert all("lora_" in name or "modules_to_save" in name for name in trainable)
    frozen = {name: parameter.detach().clone() for name, parameter in model.named_parameters() if not parameter.requires_grad}
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-2)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = loss_of(model, tokenizer, HEADS[model_name])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(torch.equal(parameter, frozen[name]) for name, parameter in model.named_parameters() if name in frozen)


@pytest.mark.parametrize("scheme", ["none", "bnb-int8", "bnb-nf4", "bnb-nf4-dq", "bnb-fp4"])
def test_an_evaluation_before_training_does_not_change_the_gradients(scheme: str, tmp_path: Path) -> None:
    """bitsandbytes repacks 4-bit weights at the first evaluation on some CPUs; repacked, they pass no gradient on."""
    gradients = []
    for evaluated in (False, True):
        model, _, tokenizer = attach(method("lora", r=4, target_modules="all-linear", init_lora_weights="gaussian"), "decoder", tmp_path, scheme)
        if evaluated:
            model.eval()
            with torch.inference_mode():
                loss_of(model, tokenizer, HEADS["decoder"])
        model.train()
        loss_of(model, tokenizer, HEADS["decoder"]).backward()
        gradients.append([parameter.grad for name, parameter in model.named_parameters() if "lora_B" in name])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*gradients, strict=True))
    assert all(gradient.abs().sum() > 0 for gradient in gradients[1])


@pytest.mark.parametrize("model_name", ["encoder", "decoder", "seq2seq"])
def test_the_classification_head_is_tuned_whole_whatever_it_is_called(model_name: str, tmp_path: Path) -> None:
    model, _, tokenizer = attach(method("lora", target_modules="all-linear"), model_name, tmp_path, head=CLASSIFY)
    loss_of(model, tokenizer, CLASSIFY).backward()
    saved = [name for name, parameter in model.named_parameters() if "modules_to_save" in name and parameter.grad is not None]
    assert any(name.endswith("weight") for name in saved)
    assert not [name for name in saved if "lora_" in name]


def test_default_targets_are_query_and_value_of_the_family(tmp_path: Path) -> None:
    model, *_ = attach(method("lora"), "encoder", tmp_path)
    assert {name.split(".")[-4] for name, _ in model.named_parameters() if "lora_A" in name} == {"query", "value"}


def test_gradient_checkpointing_reaches_the_adapters_behind_frozen_weights(tmp_path: Path) -> None:
    for scheme in ("none", "bnb-nf4"):
        model, _, tokenizer = attach(method("lora", target_modules="all-linear"), "decoder", tmp_path, scheme, checkpointing=True)
        if scheme == "none":
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
        loss_of(model, tokenizer, HEADS["decoder"]).backward()
        assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad), scheme


def test_targets_that_are_not_there_are_unsupported(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="nothing_here"):
        attach(method("lora", target_modules=["nothing_here"]), "decoder", tmp_path)


def test_an_unknown_family_must_name_its_target_modules() -> None:
    with pytest.raises(Unsupported, match="no default target modules for rwkv"):
        family_targets("rwkv")
