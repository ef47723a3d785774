"""Round-to-nearest: its grid by hand to the last bit, its bytes, its layers on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from jobs import scheme
from packed_models import CLASSIFY, error, loaded, logits, quantized, tiny

from harness.models.sizes import count_parameters


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("llama", tmp_path_factory.mktemp("models") / "llama")


def rounded(weight: torch.Tensor, bits: int, group: int, sym: bool) -> torch.Tensor:
    """Every weight to the nearest of the 2^bits points between its group's extremes (their larger magnitude where symmetric), 0 among them."""
    rows = weight.reshape(-1, group)
    low, high = rows.min(1, keepdim=True).values.clamp(max=0), rows.max(1, keepdim=True).values.clamp(min=0)
    if sym:
        high = torch.maximum(-low, high)
        low = -high
    scale = (high - low) / (2**bits - 1)
    zero = torch.full_like(scale, 2 ** (bits - 1)) if sym else torch.round(-low / scale)
    codes = torch.clamp(torch.round(rows / scale) + zero, 0, 2**bits - 1)
    return (scale.half() * (codes - zero).half()).float().reshape(weight.shape)  # stored and multiplied in float16


@pytest.mark.parametrize(("bits", "group_size", "sym"), [(2, 32, True), (3, 64, False), (4, 64, True), (8, -1, False)])
def test_weights_are_the_nearest_grid_points_and_take_the_bytes_of_integers_and_constants(
    source: Path, tmp_path: Path, bits: int, group_size: int, sym: bool
) -> None:
    of = scheme(f"rtn-{bits}bit", group_size=group_size, sym=sym)
    made = quantized(of, source, tmp_path / "entry")
    model, exact = loaded(of, made.folder), made.load()
    layers = list(of.quantized_layers(model))
    assert len(layers) == 14
    for layer in layers:
        module = model.get_submodule(layer.name)
        group = module.in_features if group_size == -1 else group_size
        assert (layer.weights, layer.kernel) == (module.in_features * module.out_features, "TorchLinear")
        assert 8 * layer.bytes / layer.weights == pytest.approx(bits + (16 + bits) / group + 32 / module.out_features)
    plain = of.dequantized(model)
    for name in ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"):
        weight = exact.get_submodule(name).weight.data
        expected = rounded(weight, bits, weight.shape[1] if group_size == -1 else group_size, sym)
        assert torch.equal(plain.get_submodule(name).weight.data, expected), name
    assert made.notes == []


@pytest.fixture(scope="module")
def entry(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantized(scheme("rtn-4bit", group_size=32), source, tmp_path_factory.mktemp("entries") / "rtn").folder


def test_two_loads_agree_to_the_bit_and_with_ordinary_layers_of_the_same_weights(entry: Path) -> None:
    of = scheme("rtn-4bit", group_size=32)
    model = loaded(of, entry)
    once = logits(model)
    assert torch.equal(once, logits(loaded(of, entry)))
    plain = of.dequantized(model)
    assert error(logits(plain), once) < 1e-6
    assert list(of.quantized_layers(plain)) == []
    assert type(plain.model.layers[0].mlp.down_proj) is torch.nn.Linear
    assert not plain.is_quantized


def test_packed_weights_are_counted_as_the_weights_that_they_hold(entry: Path) -> None:
    model = loaded(scheme("rtn-4bit", group_size=32), entry)
    weights = 2 * (4 * 64 * 64 + 3 * 64 * 128)
    beside = 2 * 1735 * 64 + 5 * 64
    assert count_parameters(model).total == weights + beside


def test_a_classification_head_is_new_and_unquantized(entry: Path) -> None:
    of = scheme("rtn-4bit", group_size=32)
    model = loaded(of, entry, CLASSIFY)
    assert type(model.score) is torch.nn.Linear
    assert len(list(of.quantized_layers(model))) == 14
    assert logits(model).shape == (2, 2)
