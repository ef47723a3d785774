"""Rounding a weight matrix to a grid: which weights share a constant, and how the constants themselves are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.quantization.grids import DataType, bits, is_integer, levels

if TYPE_CHECKING:
    import torch

Granularity = Literal["per-tensor", "per-channel", "per-group"]

CONSTANTS_PER_BLOCK = 256  # of double quantization; QLoRA (arXiv 2305.14314), sec. 3


@dataclass(frozen=True)
class Rounding:
    """A grid, laid over a matrix.

    granularity: whether a constant is the whole matrix', an output channel's, or that of group_size successive input
    channels of one output channel. sym: of integers. double_quant: the constants are quantized too.
    """

    data_type: DataType
    granularity: Granularity
    group_size: int
    sym: bool
    double_quant: bool

    def __call__(self, weight: torch.Tensor) -> torch.Tensor:
        """The matrix at the grid's levels, float32. weight: shape (out_features, in_features), any float dtype.

        Levels are chosen by the exact constants and scaled by the quantized ones, as bitsandbytes does it.
        """
        blocks = weight.float().reshape(-1, self._block(weight.shape[0], weight.shape[1]))
        chosen, constants = levels(blocks, self.data_type, self.sym)
        if self.double_quant:
            constants = doubly_quantized(constants)
        return (chosen * constants).reshape(weight.shape)

    def bits_per_weight(self, out_features: int, in_features: int) -> float:
        """What the grid would take in storage, constants included.

        A float's block has one 32-bit constant (bitsandbytes), an integer's a 16-bit scale and a zero point as wide as a
        weight (GPTQ's format); double quantization makes the constant 8 bits and 32 bits for every 256 of them.
        """
        constant = 16.0 if is_integer(self.data_type) else 32.0
        if self.double_quant:
            constant = 8 + 32 / CONSTANTS_PER_BLOCK
        zero_point = bits(self.data_type) if is_integer(self.data_type) else 0
        return bits(self.data_type) + (constant + zero_point) / self._block(out_features, in_features)

    def _block(self, out_features: int, in_features: int) -> int:
        """Weights that share a constant."""
        return {"per-tensor": out_features * in_features, "per-channel": in_features, "per-group": self.group_size}[self.granularity]


def doubly_quantized(constants: torch.Tensor) -> torch.Tensor:
    """Constants as double quantization keeps them: their mean, and what differs from it in 8-bit dynamic blocks of 256.

    constants: float32, any shape. bitsandbytes does it, because its result depends on the device: on CUDA the nearest of the 256
    levels, on a CPU one from a table of 65,536 evenly spaced steps. Source: QLoRA (arXiv 2305.14314), sec. 3.
    """
    from bitsandbytes.functional import dequantize_blockwise, quantize_blockwise

    flat = constants.flatten()
    offset = flat.mean()
    quantized, state = quantize_blockwise(flat - offset, blocksize=CONSTANTS_PER_BLOCK)
    return (dequantize_blockwise(quantized, state) + offset).reshape(constants.shape)
