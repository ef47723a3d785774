"""Model FLOPs of training against those that torch counts while it computes, and what they are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from harness.models.flops import TrainingFlops, observed, training_flops, uncounted
from harness.tasks.batch_shape import BatchShape, batch_shape
from tests.methods.trials import method, trial

# Torch's own attention must be made of products that its counter knows, which CPU's fused one is not.
EAGER = "eager"
TOLERANCE = 0.01  # LoRA in the first layer: frozen keys there need no gradient, which attention's formula does not tell apart


def flops_and_trial(name: str, family: str, folder: Path, scheme: str = "none", **fields: Any) -> tuple[TrainingFlops, BatchShape, Any, Any]:
    """What training the tiny model takes, the batch's shape, the model and the batch."""
    tried = trial(method(name, **fields), family, folder, scheme=scheme)
    model, batch = tried.attached(), tried.batch
    (model.get_base_model() if hasattr(model, "get_base_model") else model).set_attn_implementation(EAGER)
    model.train()
    shape = batch_shape(batch, bool(model.config.is_encoder_decoder))
    with observed(model) as observation:
        loss = model(**batch).loss
        observation.forward_is_over()
        loss.backward()
    found = training_flops(model, observation, shape, tried.method.virtual_tokens)
    assert found is not None
    return found, shape, model, batch


LORA = {"r": 4, "target_modules": "all-linear"}
METHODS = [("full", {}), ("lora", {"r": 4}), ("lora", LORA), ("bitfit", {}), ("houlsby", {}), ("prompt-tuning", {"num_virtual_tokens": 5})]
CASES = [
    (name, fields, family)
    for family in ("roberta", "opt", "bart") for name, fields in METHODS
] + [("full", {}, family) for family in ("gpt2", "llama", "t5")]  # fmt: skip


@pytest.mark.parametrize(("name", "fields", "family"), CASES)
def test_flops_are_those_that_torch_counts(name: str, fields: dict[str, Any], family: str, tmp_path: Path) -> None:
    found, shape, model, batch = flops_and_trial(name, family, tmp_path, **fields)
    with FlopCounterMode(display=False) as counted:
        model(**batch).loss.backward()
    assert found.of(shape) == pytest.approx(counted.get_total_flops(), rel=1e-6 if name == "full" else TOLERANCE)


def test_full_tuning_takes_six_flops_per_weight_and_token_and_twelve_per_pair_and_width(tmp_path: Path) -> None:
    found, _, model, _ = flops_and_trial("full", "llama", tmp_path)
    weights = sum(values.numel() for name, values in model.named_parameters() if values.dim() == 2 and "embed" not in name)
    assert found.source == pytest.approx(6 * weights)
    assert found.source_pairs == 12 * model.config.num_hidden_layers * model.config.hidden_size, "PaLM, appendix B"


def test_lora_on_packed_weights_takes_what_it_takes_on_plain_ones(tmp_path: Path) -> None:
    packed, plain = (flops_and_trial("lora", "llama", tmp_path, scheme, r=4)[0] for scheme in ("bnb-nf4", "none"))
    assert packed == plain


def test_frozen_layers_take_two_thirds_of_full_tuning_and_those_below_all_that_trains_a_third(tmp_path: Path) -> None:
    full, bitfit = (flops_and_trial(name, "opt", tmp_path)[0] for name in ("full", "bitfit"))
    assert bitfit.source == pytest.approx(full.source * 2 / 3, rel=0.01)
    classifier, shape, model, _ = flops_and_trial("lora", "roberta", tmp_path, r=2, target_modules=["output.dense"])
    first = 2 * 3 * model.config.hidden_size**2  # query, key and value of the first layer, below the first thing that trains
    all_layers = flops_and_trial("bitfit", "roberta", tmp_path)[0].source
    assert classifier.source < all_layers, f"at least {first} less in a batch of {shape}"


def test_what_is_computed_again_is_not_counted(tmp_path: Path) -> None:
    plain = flops_and_trial("full", "llama", tmp_path)[0]
    tried = trial(method("full"), "llama", tmp_path)
    model = tried.attached()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    with observed(model) as observation:
        loss = model(**tried.batch).loss
        observation.forward_is_over()
        loss.backward()
    assert training_flops(model, observation, batch_shape(tried.batch, False)) == plain


def test_longer_batches_take_more_per_token_and_a_batch_of_no_tokens_nothing(tmp_path: Path) -> None:
    found, _, model, _ = flops_and_trial("full", "llama", tmp_path)
    assert found.of(BatchShape(2, 64)) > 2 * found.of(BatchShape(2, 32)) > 0
    assert found.of(BatchShape(0, 12)) == found.of(BatchShape(4, 0)) == 0
    with observed(model) as observation:
        pass
    assert training_flops(model, observation, BatchShape(0, 12)) is None


def test_virtual_tokens_are_read_and_attended_to_though_they_count_as_no_tokens(tmp_path: Path) -> None:
    few, many = (flops_and_trial("prompt-tuning", "opt", tmp_path, num_virtual_tokens=length)[0] for length in (2, 10))
    assert many.of(BatchShape(4, 12)) > few.of(BatchShape(4, 12))
    assert BatchShape(4, 12).tokens == 48


@pytest.mark.parametrize(("family", "says"), [("deberta-v2", "relative positions"), ("llama", None)])
def test_what_is_left_out_is_said(family: str, says: str | None, tmp_path: Path) -> None:
    left_out = uncounted(trial(method("full"), family, tmp_path).attached())
    assert (left_out is None) == (says is None)
    assert says is None or says in str(left_out)
