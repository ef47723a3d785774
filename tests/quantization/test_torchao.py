"""torchao: bytes by hand, its int4 on a CPU, and what PEFT and the Trainer are told."""

from __future__ import annotations

from pathlib import Path

import peft
import pytest
import torch
from layers import HEADS, loaded, logits, one_layer, relative, scheme, tiny

from harness.errors import Unsupported
from harness.needs import Machine


@pytest.mark.parametrize(("group_size", "groups"), [(None, 1), (32, 16)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_int8_has_a_float32_scale_and_a_zero_point_per_group(group_size: int | None, groups: int, dtype: str, tmp_path: Path) -> None:
    """The zero points are all zero, one byte each: torchao keeps them although the grid is symmetric."""
    of = scheme("torchao-int8", group_size=group_size)
    model = loaded(of, one_layer(256, 512, tmp_path), HEADS["decoder"], dtype)
    layer = next(layer for layer in of.quantized_layers(model) if layer.name.endswith("o_proj"))
    assert (layer.weights, layer.kernel) == (256 * 512, "Int8Tensor")
    assert layer.bytes == 256 * 512 + 256 * groups * (4 + 1)
    values = of.values(model.model.layers[0].self_attn.o_proj)
    assert values.shape == (256, 512)
    assert len(values[0, : 512 // groups].unique()) <= 255


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2)])
def test_int4_has_a_scale_and_a_zero_point_per_group(dtype: str, size: int, tmp_path: Path) -> None:
    of = scheme("torchao-int4", group_size=64)
    model = loaded(of, one_layer(256, 512, tmp_path), HEADS["decoder"], dtype)
    layer = next(layer for layer in of.quantized_layers(model) if layer.name.endswith("o_proj"))
    assert (layer.weights, layer.kernel) == (256 * 512, "Int4OpaqueTensor")
    assert layer.bytes == 256 * 512 // 2 + 256 * 8 * 2 * size
    values = of.values(model.model.layers[0].self_attn.o_proj)
    assert all(len(group.unique()) <= 16 for group in values[:8].reshape(-1, 64))


def test_int4_refuses_what_its_kernels_do_not_take(tmp_path: Path) -> None:
    """The kernel for CPUs packs 16 rows at a time; that for CUDA needs tensor cores of Ampere."""
    needs = scheme("torchao-int4").needs
    assert needs.unmet(Machine("cpu"), None) is None
    assert "compute capability 8.0" in str(needs.unmet(Machine("cuda", (7, 5)), None))
    with pytest.raises(Unsupported, match="multiples of 16 rows on a CPU"):
        loaded(scheme("torchao-int4", group_size=32, skip_modules=[r".*\.[qkv]_proj", r".*\.mlp", "lm_head"]), one_layer(40, 128, tmp_path), HEADS["decoder"])


def test_a_slow_int4_product_is_told_in_the_record() -> None:
    """Only bfloat16 has a vectorized kernel on a CPU; on CUDA, whose kernel takes nothing else, there is nothing to tell."""
    of = scheme("torchao-int4")
    assert "in float32 it goes weight by weight" in str(of.caution("cpu", torch.float32))
    assert of.caution("cpu", torch.bfloat16) is None
    assert of.caution("cuda", torch.bfloat16) is None
    assert scheme("torchao-int8").caution("cpu", torch.float32) is None


def test_what_peft_has_merged_into_int8_is_quantized_again() -> None:
    of = scheme("torchao-int8")
    model = loaded(of, tiny("llama"), HEADS["decoder"])
    before = logits(model)
    torch.manual_seed(0)
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)).eval()
    after = logits(tuned)
    merged = tuned.merge_and_unload()
    assert {layer.kernel for layer in of.quantized_layers(merged)} == {"Int8Tensor"}
    assert relative(logits(merged), after) < 0.2 * relative(before, after)


@pytest.mark.parametrize("name", ["torchao-int8", "torchao-int4"])
def test_the_trainer_is_told_that_gradients_pass(name: str) -> None:
    """transformers calls int4 untrainable, for want of a backward pass in torchao; the layer has one of ours."""
    model = loaded(scheme(name, group_size=32), "decoder")
    assert model.is_quantized
    assert model.hf_quantizer.is_trainable
