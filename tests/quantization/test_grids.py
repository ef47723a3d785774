"""Grids against the libraries that define them, to the last bit."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
import torch

from harness.quantization.grids import DataType, bits, codebook, is_integer, levels
from harness.quantization.rounding import Granularity, Rounding, doubly_quantized

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
INTEGERS = [name for name in get_args(DataType) if is_integer(name)]


def rounding(data_type: DataType, group_size: int = 64, granularity: Granularity = "per-group", sym: bool = True, double_quant: bool = False) -> Rounding:
    return Rounding(data_type, granularity, group_size, sym, double_quant)


def matrix(rows: int = 64, columns: int = 2048, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Normal weights of very different sizes, with outliers, a row of zeros and a row without negative ones."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(rows, columns, generator=generator) * torch.logspace(-4, 1, rows)[:, None]
    weight[:, 7] *= 30
    weight[1], weight[2] = 0, weight[2].abs()
    return weight.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("data_type", "quant_type"), [("nf4", "nf4"), ("fp4-e2m1", "fp4")])
@pytest.mark.parametrize("block", [32, 64, 256])
@pytest.mark.parametrize("double_quant", [False, True])
def test_four_bit_floats_are_bitsandbytes(dtype: torch.dtype, data_type: DataType, quant_type: str, block: int, double_quant: bool) -> None:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    weight = matrix(dtype=dtype)
    packed, state = quantize_4bit(weight, blocksize=block, quant_type=quant_type, compress_statistics=double_quant)
    expected = dequantize_4bit(packed, state)
    found = rounding(data_type, block, double_quant=double_quant)(weight).to(dtype)
    assert torch.equal(found, expected)
    assert not torch.equal(found, weight)


@pytest.mark.gpu
@pytest.mark.parametrize("double_quant", [False, True])
def test_nf4_is_bitsandbytes_on_a_gpu_too(double_quant: bool) -> None:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    weight = matrix().cuda()
    packed, state = quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=double_quant)
    assert torch.equal(rounding("nf4", double_quant=double_quant)(weight), dequantize_4bit(packed, state))


def test_four_bit_ties_fall_as_in_bitsandbytes() -> None:
    """Weights exactly between two levels, and a float's width beside it."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    for data_type, quant_type in (("nf4", "nf4"), ("fp4-e2m1", "fp4")):
        code = codebook(data_type)
        middle = (code[:-1] + code[1:]) / 2
        near = torch.cat([torch.nextafter(middle, middle + 1), middle, torch.nextafter(middle, middle - 1), torch.ones(1)])
        weight = torch.cat([near, torch.zeros(64 - len(near))])[None]
        assert torch.equal(rounding(data_type)(weight), dequantize_4bit(*quantize_4bit(weight, blocksize=64, quant_type=quant_type)))


def test_double_quantization_moves_the_constants_a_little_and_not_the_levels() -> None:
    weight = matrix(rows=256)
    exact, double = rounding("nf4")(weight), rounding("nf4", double_quant=True)(weight)
    ratio = double[exact != 0] / exact[exact != 0]
    assert not torch.equal(exact, double)
    constants = torch.rand(1000, 1) + 1
    assert (doubly_quantized(constants) - constants).abs().max() < 0.02
    assert (ratio > 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("width", "group_size", "sym"), list(itertools.product((2, 3, 4, 8), (-1, 32, 128), (True, False))))
def test_integers_are_gptqmodels_round_to_nearest(dtype: torch.dtype, width: int, group_size: int, sym: bool) -> None:
    pytest.importorskip("gptqmodel", reason="the gptq extra is not installed")
    from gptqmodel.quantization import RTNConfig
    from gptqmodel.quantization.rtn import RTN

    layer = torch.nn.Linear(512, 32, bias=False, dtype=dtype)
    layer.weight.data = matrix(32, 512, dtype)
    expected = RTN(layer, RTNConfig(bits=width, group_size=group_size, sym=sym)).quantize()[0]
    granularity: Granularity = "per-channel" if group_size == -1 else "per-group"
    assert torch.equal(rounding(f"int{width}", group_size, granularity, sym)(layer.weight.detach()).to(dtype), expected)


@pytest.mark.parametrize("data_type", INTEGERS)
@pytest.mark.parametrize("sym", [True, False])
def test_integers_are_evenly_spaced_levels_with_zero_among_them(data_type: DataType, sym: bool) -> None:
    chosen, scale = levels(torch.randn(8, 4096), data_type, sym)
    assert torch.equal(chosen, chosen.round())
    assert (chosen == 0).any(dim=1).all()
    assert scale.shape == (8, 1)
    if sym:
        assert (chosen.min(), chosen.max()) == (-(2 ** (bits(data_type) - 1)), 2 ** (bits(data_type) - 1) - 1)
    else:
        assert (chosen.amax(dim=1) - chosen.amin(dim=1) == 2 ** bits(data_type) - 1).all()


@pytest.mark.parametrize(("data_type", "dtype"), [("fp8-e4m3", torch.float8_e4m3fn), ("fp8-e5m2", torch.float8_e5m2)])
def test_eight_bit_floats_take_the_nearest_of_torchs_values_scaled_by_absmax(data_type: DataType, dtype: torch.dtype) -> None:
    every = torch.arange(256, dtype=torch.uint8).view(dtype).float()
    values = every[every.isfinite()].unique()
    weight = matrix(rows=8, columns=512)
    blocks = weight.reshape(-1, 64)
    scale = (blocks.abs().amax(dim=1, keepdim=True) / torch.finfo(dtype).max).clamp(min=1e-38)
    assert torch.equal(rounding(data_type)(weight), ((blocks / scale).to(dtype).float() * scale).reshape(weight.shape))
    chosen, _ = levels(blocks, data_type, True)
    distance = ((blocks / scale)[..., None] - values).abs().amin(dim=-1)
    assert torch.isin(chosen, values).all()
    assert torch.equal((chosen - blocks / scale).abs(), distance)


def test_the_level_sets_of_the_four_bit_floats() -> None:
    assert codebook("fp4-e3m0").tolist() == [-1, -1 / 2, -1 / 4, -1 / 8, -1 / 16, -1 / 32, -1 / 64, 0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    assert torch.allclose(12 * codebook("fp4-e2m1"), torch.tensor([-12.0, -8, -6, -4, -3, -2, -0.0625, 0, 0.0625, 2, 3, 4, 6, 8, 12]))
    assert len(codebook("nf4")) == 16


@pytest.mark.parametrize("data_type", get_args(DataType))
@pytest.mark.parametrize("granularity", get_args(Granularity))
def test_zeros_stay_and_what_is_on_the_grid_of_a_float_stays_there(data_type: DataType, granularity: Granularity) -> None:
    weight = torch.randn(16, 256, generator=torch.Generator().manual_seed(0))
    weight[0] = 0
    once = rounding(data_type, granularity=granularity)(weight)
    assert torch.equal(once[0], torch.zeros(256))
    assert once.isfinite().all()
    if not is_integer(data_type):
        assert torch.equal(rounding(data_type, granularity=granularity)(once), once)


def test_smaller_blocks_and_more_bits_come_nearer() -> None:
    weight = torch.randn(128, 512, generator=torch.Generator().manual_seed(0))

    def error(of: Rounding) -> float:
        return (of(weight) - weight).square().mean().item()

    by_bits = [error(rounding(name)) for name in INTEGERS]
    by_block = [error(rounding("nf4", granularity="per-tensor")), error(rounding("nf4", granularity="per-channel")), error(rounding("nf4", 64)), error(rounding("nf4", 16))]
    assert by_bits == sorted(by_bits, reverse=True)
    assert by_block == sorted(by_block, reverse=True)
    assert error(rounding("nf4")) < error(rounding("fp4-e2m1")) < error(rounding("fp4-e3m0"))


def test_bits_per_weight_are_those_of_the_formats() -> None:
    assert rounding("nf4").bits_per_weight(4096, 4096) == 4.5
    assert rounding("nf4", double_quant=True).bits_per_weight(4096, 4096) == pytest.approx(4.127, abs=5e-4)
    assert rounding("int4", 128).bits_per_weight(4096, 4096) == 4 + 20 / 128
    assert rounding("int3", granularity="per-channel").bits_per_weight(64, 1024) == 3 + 19 / 1024
    assert rounding("fp8-e4m3", granularity="per-tensor").bits_per_weight(64, 1024) == 8 + 32 / 65536
