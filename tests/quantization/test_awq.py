"""AWQ on a tiny decoder: nearer than rounding where activations are uneven; what it rounds to 16 bit, and what it refuses."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from jobs import job, scheme
from packed_models import CLASSIFY, error, loaded, logits, quantized, tiny

from harness.declared import source_tree
from harness.models.dissect import anatomy_of
from harness.needs import ModelFacts
from harness.quantization.awq import SCALED_ACTIVATIONS
from harness.quantization.job import QuantizationJob


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("llama", tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def entry(source: Path, tmp_path_factory: pytest.TempPathFactory) -> QuantizationJob:
    return quantized(scheme("awq-4bit", group_size=32), source, tmp_path_factory.mktemp("entries") / "awq", samples=4)


def test_two_loads_agree_to_the_bit_and_with_ordinary_layers_of_the_same_weights(entry: QuantizationJob) -> None:
    """The kernel on a CPU multiplies in float16, ordinary layers in float32."""
    of = scheme("awq-4bit", group_size=32)
    model = loaded(of, entry.folder)
    once = logits(model)
    assert model.dtype == torch.float32
    assert torch.equal(once, logits(loaded(of, entry.folder)))
    plain = of.dequantized(model)
    assert list(of.quantized_layers(plain)) == []
    assert error(logits(plain), once) < 2e-3
    assert error(once, logits(entry.load())) < 0.5


def test_bits_per_weight_are_those_of_integers_scales_and_zero_points(entry: QuantizationJob) -> None:
    of = scheme("awq-4bit", group_size=32)
    layers = list(of.quantized_layers(loaded(of, entry.folder)))
    assert {layer.kernel for layer in layers} == {"AwqTorchLinear"}
    assert len(layers) == 14
    assert all(8 * layer.bytes / layer.weights == 4 + (16 + 4) / 32 for layer in layers)


def test_rounding_to_16_bit_is_told(entry: QuantizationJob) -> None:
    assert entry.notes == ["awq-4bit: gptqmodel packs AWQ weights of 16-bit models, so all weights were rounded to torch.float16 first"]


def test_gradients_reach_what_is_below_quantized_layers(entry: QuantizationJob) -> None:
    model = loaded(scheme("awq-4bit", group_size=32), entry.folder, CLASSIFY)
    assert type(model.score) is torch.nn.Linear
    model.eval()
    logits(model)  # evaluated once, as every cell is before it trains
    model.train()
    embedded = model.get_input_embeddings()(torch.arange(5, 20)[None]).detach().requires_grad_()
    model(inputs_embeds=embedded, labels=torch.tensor([1])).loss.backward()
    assert embedded.grad is not None
    assert float(embedded.grad.abs().sum()) > 0


def test_layers_that_its_search_has_no_place_for_are_named(source: Path, tmp_path: Path) -> None:
    anatomy = anatomy_of(job(source, tmp_path / "none").load(), [])
    assert scheme("awq-4bit", group_size=64).unfit(anatomy) is None
    wide = scheme("awq-4bit").unfit(anatomy)
    assert wide is not None
    assert "group_size: 128 does not divide the 64 weights of a row of model.layers.0.self_attn.q_proj; 16, 32, 64 would" in wide


def test_models_whose_activation_scales_are_lost_are_refused() -> None:
    """gptqmodel's checkpoints of these models are loaded, and answer with no numbers."""
    tree = source_tree("transformers.integrations.awq")
    assert tree is not None
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "AWQ_SCALES_MAPPINGS")
    assert sorted(ast.literal_eval(table)) == sorted(SCALED_ACTIVATIONS)
    reason = scheme("awq-4bit").unsupported(ModelFacts("gpt_neox", "decoder"))
    assert reason is not None
    assert "activation function" in reason
    assert scheme("gptq-4bit").unsupported(ModelFacts("gpt_neox", "decoder")) is None
