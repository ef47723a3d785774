"""The grids that weights are rounded to: a block of weights becomes levels of the grid and one constant that scales them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

DataType = Literal[
    "int2", "int3", "int4", "int5", "int6", "int7", "int8", "fp4-e2m1", "fp4-e3m0", "fp8-e4m3", "fp8-e5m2", "nf4"
]  # fmt: skip

#: 4-bit NormalFloat: quantiles of a normal distribution. Source: QLoRA (arXiv 2305.14314), appendix E.
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
#: Sign, 2 exponent bits, 1 mantissa bit, with bitsandbytes' small level below the normal ones (an IEEE format would have 1 there).
FP4_E2M1 = (0.0, 0.0625, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
#: Sign and 3 exponent bits: powers of two; the lowest exponent stands for zero.
FP4_E3M0 = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)

_MAGNITUDES = {"fp4-e2m1": FP4_E2M1, "fp4-e3m0": FP4_E3M0}
_TINY = 1e-38  # bitsandbytes' guard of a block of zeros


def bits(data_type: DataType) -> int:
    """Bits of one level: 2 to 8."""
    found = re.search(r"\d", data_type)
    assert found is not None, "every data type names its bits"
    return int(found[0])


def is_integer(data_type: DataType) -> bool:
    """Whether its levels are evenly spaced, with a zero point where the grid is not symmetric."""
    return data_type.startswith("int")


def levels(blocks: torch.Tensor, data_type: DataType, sym: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest level of every weight and the constant of every block; their product is the rounded weight.

    blocks: float32, shape (blocks, weights of a block). Returns float32 of shapes (blocks, weights) and (blocks, 1).
    sym: of integers only: the same range on both sides of zero.
    """
    import torch

    if is_integer(data_type):
        return _integer_levels(blocks, bits(data_type), sym)
    if data_type.startswith("fp8"):
        return _float8_levels(blocks, torch.float8_e4m3fn if data_type == "fp8-e4m3" else torch.float8_e5m2)
    return _codebook_levels(blocks, codebook(data_type).to(blocks.device))


def codebook(data_type: DataType) -> torch.Tensor:
    """The levels of a 4-bit float in ascending order, the largest 1: float32, 15 or 16 of them."""
    import torch

    if data_type == "nf4":
        return torch.tensor(NF4)
    positive = torch.tensor(_MAGNITUDES[data_type])
    positive = positive / positive.max()
    return torch.cat([-positive[1:].flip(0), positive])


def _codebook_levels(blocks: torch.Tensor, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest level after dividing by the block's largest magnitude, the lower one at a tie: bitsandbytes' quantize_4bit."""
    import torch

    absmax = blocks.abs().amax(dim=1, keepdim=True)
    scaled = (blocks * (1.0 / absmax.clamp(min=_TINY))).clamp(-1, 1)
    return code[torch.bucketize(scaled, (code[:-1] + code[1:]) / 2)], absmax


def _float8_levels(blocks: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """torch's own rounding to an 8-bit float whose largest finite value is the block's largest magnitude."""
    import torch

    scale = blocks.abs().amax(dim=1, keepdim=True) / torch.finfo(dtype).max
    return (blocks / scale.clamp(min=_TINY)).to(dtype).float(), scale


def _integer_levels(blocks: torch.Tensor, width: int, sym: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Evenly spaced levels from the smallest to the largest weight, zero always among them: gptqmodel's round-to-nearest.

    A symmetric grid of w bits has the levels -2^(w-1) ... 2^(w-1) - 1, 2 * absmax / (2^w - 1) apart. A block without a negative weight
    keeps the range 0 ... max there, of which the symmetric grid reaches only the lower half: the library's rule, kept.
    """
    import torch

    low, high = blocks.amin(dim=1, keepdim=True).clamp(max=0), blocks.amax(dim=1, keepdim=True).clamp(min=0)
    if sym:
        high = torch.maximum(-low, high)
        low = torch.where(low < 0, -high, low)
    zeros = (low == 0) & (high == 0)
    low, high = low.masked_fill(zeros, -1), high.masked_fill(zeros, 1)
    largest = 2**width - 1
    # a tensor and not a number: on CUDA, torch multiplies by a number's reciprocal instead of dividing
    scale = (high - low) / torch.full_like(low, largest)
    zero = torch.full_like(scale, (largest + 1) / 2) if sym else torch.round(-low / scale)
    return torch.clamp(torch.round(blocks / scale) + zero, 0, largest) - zero, scale
