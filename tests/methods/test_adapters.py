"""houlsby, pfeiffer, parallel and compacter on every family, and on quantized weights; their sizes, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch

from harness.errors import Unsupported
from harness.methods.adapters import Compacter, NonLinearity
from harness.models.anatomy import Anatomy
from harness.needs import ModelFacts
from harness.quantization.base import SCHEMES
from tests.methods.trials import FAMILIES, failed, method, trial

SIZES = {"houlsby": {"bottleneck": 16}, "pfeiffer": {"bottleneck": 8}, "parallel": {"bottleneck": 8}, "compacter": {"bottleneck": 8}}
NONE = SCHEMES.get("none")(scheme="none")
BERT = ModelFacts("bert", "encoder", hidden_size=64, layers=2)


def anatomy(family: str, folder: Path) -> Anatomy:
    return trial(method("none"), family, folder).attachment.anatomy


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", SIZES)
def test_adapters_work_on_every_family(name: str, family: str, tmp_path: Path) -> None:
    assert not failed(trial(method(name, **SIZES[name]), family, tmp_path).run())


@pytest.mark.parametrize("scheme", ["bnb-int8", "bnb-nf4"])
@pytest.mark.parametrize("name", SIZES)
def test_adapters_work_on_quantized_weights(name: str, scheme: str, tmp_path: Path) -> None:
    assert not failed(trial(method(name, **SIZES[name]), "llama", tmp_path, scheme=scheme).run())


@pytest.mark.parametrize(
    "fields",
    [{"non_linearity": "swish"}, {"init": "lora"}, {"init": "bert"}, {"dropout": 0.1}, {"layers": [1]}, {"train_norms": False}],
    ids=lambda fields: next(iter(fields)),
)
def test_every_option_works(fields: dict, tmp_path: Path) -> None:
    assert not failed(trial(method("houlsby", bottleneck=8, **fields), "t5", tmp_path).run())


def test_a_decoder_with_cross_attention_has_three_adapters_a_layer(tmp_path: Path) -> None:
    adapted = [module.name for module in method("houlsby").adapted_modules(anatomy("bart", tmp_path))]
    assert [sum(f"{stack}.layers.0." in name for name in adapted) for stack in ("encoder", "decoder")] == [2, 3]


def test_counts_are_the_papers_formulas(tmp_path: Path) -> None:
    """BERT of 2 layers and width 64: 4 places after attention and FFN, and 5 LayerNorms of 2 x 64."""
    bert, adapter, norms = anatomy("bert", tmp_path), 2 * 64 * 16 + 64 + 16, 5 * 2 * 64
    assert method("houlsby", bottleneck=16).count(bert) == 4 * adapter + norms
    assert method("houlsby", bottleneck=16, train_norms=False).count(bert) == 4 * adapter
    assert method("pfeiffer", bottleneck=16).count(bert) == method("parallel", bottleneck=16).count(bert) == 2 * adapter
    factors = 2 * 4 * (64 // 4 + 16 // 4) * 1  # down and up: n factors s_i (d/n x r) and t_i (r x m/n)
    assert method("compacter", bottleneck=16).count(bert) == 4**3 + 4 * (factors + 64 + 16) + norms


@pytest.mark.parametrize("name", SIZES)
def test_a_fresh_adapter_hardly_changes_the_model(name: str, tmp_path: Path) -> None:
    tried = trial(method(name, **SIZES[name]), "gpt2", tmp_path)
    base = tried.logits(tried.load())
    fresh = tried.logits(tried.method.attach(tried.load(), tried.attachment))
    assert float((fresh - base).abs().max()) < 0.05 * float(base.abs().max())


def test_parallel_adapters_read_what_the_ffn_reads(tmp_path: Path) -> None:
    tried = trial(method("parallel", bottleneck=8, scale=2.0, init="bert"), "llama", tmp_path)
    model = tried.method.attach(tried.load(), tried.attachment)
    block = model.get_submodule("base_model.model.model.layers.0.mlp")
    x = torch.randn(1, 3, 64)
    adapter = block.down_proj.pelt_adapter["default"]
    change = 2.0 * (torch.relu(x @ adapter.down.weight.T) @ adapter.up.weight.T)  # biases are zero
    with torch.no_grad():
        tuned = block(x)
        with model.disable_adapter():
            assert torch.allclose(tuned, block(x) + change, atol=1e-6)


def test_a_budget_chooses_a_bottleneck_that_the_products_divide(tmp_path: Path) -> None:
    chosen, told = method("compacter", train_norms=False, budget={"trainable_parameters": 1000}).solved(anatomy("bert", tmp_path))
    assert isinstance(chosen, Compacter)
    assert told is not None
    assert chosen.bottleneck == told.size
    assert chosen.bottleneck % 4 == 0
    assert abs(chosen.count(anatomy("bert", tmp_path)) - 1000) < 250


def test_plans_refuse_what_cannot_work() -> None:
    assert "larger than the model's hidden size 64" in str(method("houlsby", bottleneck=65).unsupported(BERT, NONE))
    assert method("houlsby", budget={"percent": 1}).unsupported(BERT, NONE) is None
    assert "not known of rwkv" in str(method("pfeiffer").unsupported(ModelFacts("rwkv", "decoder"), NONE))
    assert "layer 2 is not one of the model's 2" in str(method("parallel", layers=[0, 2]).unsupported(BERT, NONE))
    assert "no multiple of hypercomplex_division 4" in str(method("compacter", bottleneck=10).unsupported(BERT, NONE))
    assert "does not divide" in str(method("compacter", bottleneck=9, hypercomplex_division=3).unsupported(BERT, NONE))
    assert method("houlsby").unsupported(None, NONE) is None


def test_layers_that_the_model_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"layers \[7\]"):
        method("pfeiffer", layers=[7]).count(anatomy("bert", tmp_path))


def test_every_non_linearity_is_one_of_transformers() -> None:
    from transformers.activations import ACT2FN

    assert set(get_args(NonLinearity)) <= set(ACT2FN)
