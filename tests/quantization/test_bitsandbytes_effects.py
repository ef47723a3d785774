"""bitsandbytes: every field has the effect that its paper or its library says, measured on loaded models."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import pytest
import torch
from layers import HEADS, loaded, logits, one_layer, relative, scheme

from harness.models.sizes import weight_bytes

ROWS, COLUMNS = 1024, 2048
CODE = 16 * 4  # the 16 values of the data type, in float32, once per layer
CODE_OF_CONSTANTS = 256 * 4 + 4  # the 256 values of the 8-bit constants and their mean, once per layer


def constants(weights: int, double: bool) -> int:
    """Bytes of the constants of so many weights: a float32 per block of 64, or 8 bits and a float32 per 256 blocks.

    Source: QLoRA (arXiv 2305.14314), sec. 3, for weights without end; and bitsandbytes' codes.
    """
    blocks = ceil(weights / 64)
    return CODE + (blocks + 4 * ceil(blocks / 256) + CODE_OF_CONSTANTS if double else 4 * blocks)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return one_layer(ROWS, COLUMNS, tmp_path_factory.mktemp("large"))


def measured(name: str, folder: Path, **fields: object) -> tuple[int, int]:
    """Bytes of the large layer, and the weights in it."""
    of = scheme(name, **fields)
    layer = next(layer for layer in of.quantized_layers(loaded(of, folder, HEADS["decoder"])) if layer.name.endswith("o_proj"))
    return layer.bytes, layer.weights


@pytest.mark.parametrize("name", ["bnb-nf4", "bnb-fp4"])
def test_double_quantization_saves_what_the_paper_says(name: str, large: Path) -> None:
    """0.5 - 0.127 = 0.373 bit per weight; the code of the constants costs a layer of 2 M weights 0.004 of it."""
    single, weights = measured(name, large)
    double, _ = measured(name, large, double_quant=True)
    assert weights == ROWS * COLUMNS
    assert single == weights // 2 + constants(weights, double=False)
    assert double == weights // 2 + constants(weights, double=True)
    bits_saved = 8 * (single - double) / weights
    paper = 32 / 64 - (8 / 64 + 32 / (64 * 256))
    assert bits_saved == pytest.approx(paper - 8 * CODE_OF_CONSTANTS / weights)
    assert bits_saved == pytest.approx(0.373, abs=0.005)


def test_double_quantization_costs_small_layers_more_than_it_saves(tmp_path: Path) -> None:
    folder = one_layer(64, 64, tmp_path)
    assert measured("bnb-nf4-dq", folder)[0] > measured("bnb-nf4", folder)[0]


@pytest.mark.parametrize("storage", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("name", ["bnb-nf4", "bnb-nf4-dq"])
def test_the_storage_dtype_changes_neither_bytes_nor_logits(name: str, storage: str) -> None:
    stored, usual = (loaded(of, "decoder", dtype="bfloat16") for of in (scheme(name, quant_storage=storage), scheme(name)))
    weight, expected = (model.model.layers[0].self_attn.q_proj.weight for model in (stored, usual))
    assert str(weight.dtype) == f"torch.{storage}"
    assert weight.nbytes == expected.nbytes
    assert torch.equal(logits(stored), logits(usual))


def test_int8_takes_a_byte_per_weight_and_a_float_per_row(large: Path) -> None:
    assert measured("bnb-int8", large)[0] == ROWS * COLUMNS + 4 * ROWS


def test_the_scales_of_int8_are_counted_after_the_first_product_too() -> None:
    model = loaded(scheme("bnb-int8"), "decoder")
    layer = model.model.layers[0].self_attn.q_proj
    before = weight_bytes(layer)
    logits(model)
    assert weight_bytes(layer) == before == layer.weight.numel() + 4 * layer.out_features


def test_outliers_are_computed_with_unrounded_activations() -> None:
    """LLM.int8(), sec. 3.2: where every feature is an outlier, only the weights are rounded; where none is, all activations too."""
    all_of_them, usual, none_at_all = (scheme("bnb-int8", threshold=threshold) for threshold in (1e-4, 6.0, 0.0))
    of_weights = logits(usual.dequantized(loaded(usual, "decoder")))
    errors = [relative(logits(loaded(of, "decoder")), of_weights) for of in (all_of_them, usual, none_at_all)]
    assert errors[0] < 1e-3
    assert errors[0] < errors[1] < errors[2] < 0.04


def test_16_bit_main_weights_are_int8_in_the_product() -> None:
    usual, kept = scheme("bnb-int8"), scheme("bnb-int8", has_fp16_weight=True)
    one, other = loaded(usual, "decoder", dtype="float16"), loaded(kept, "decoder", dtype="float16")
    assert other.model.layers[0].self_attn.q_proj.weight.dtype == torch.float16
    assert torch.equal(logits(one), logits(other))
    assert torch.equal(logits(usual.dequantized(one)), logits(kept.dequantized(other)))


def test_int8_stands_for_weights_within_half_a_step() -> None:
    of = scheme("bnb-int8")
    exact = dict(loaded(scheme("none"), "encoder").named_parameters())
    model = of.dequantized(loaded(of, "encoder"))
    for name in ("bert.encoder.layer.0.attention.self.query.weight", "bert.pooler.dense.weight"):
        steps = exact[name].abs().amax(1, keepdim=True) / 127
        assert ((model.get_parameter(name) - exact[name]).abs() <= 0.51 * steps).all()
    assert torch.equal(model.classifier.weight, exact["classifier.weight"])
