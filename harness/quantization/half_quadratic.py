"""HQQ, half-quadratic quantization (Badri and Shaji 2023), through the library hqq.

Groups of weights share a scale and a zero point; the zero points are fitted, without calibration, to an error norm that
forgives outliers. Source: https://mobiusml.github.io/hqq_blog/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.fields import identity
from harness.needs import Needs
from harness.quantization.base import SCHEMES
from harness.quantization.layer_by_layer import LayerByLayer

if TYPE_CHECKING:
    import torch

NBITS = {"hqq-2bit": 2, "hqq-3bit": 3, "hqq-4bit": 4, "hqq-8bit": 8}


@SCHEMES.register(*NBITS)
class Hqq(LayerByLayer):
    """2, 3, 4 or 8 bits by the scheme's name; weights are dequantized for every product."""

    needs: ClassVar[Needs] = Needs(packages=("hqq",))

    group_size: int | None = identity(64, ge=8, multiple_of=8, description="weights that share a scale and a zero point; null: a whole row (axis 1) or column (axis 0)")
    axis: Literal[0, 1] = identity(1, description="along which a group lies: 1: within a row (inputs), which fast kernels ask for; 0: within a column (outputs)")

    @property
    def nbits(self) -> int:
        """Bits of a weight, constants not counted."""
        return NBITS[self.scheme]

    def misfit(self, in_features: int, out_features: int) -> str | None:
        """See LayerByLayer.misfit. hqq would take groups across rows; and it packs the first half of the groups' rows with the second."""
        length, what = (in_features, "row") if self.axis == 1 else (out_features, "column")
        group = length if self.group_size is None else self.group_size
        if length % group:
            return f"group_size {group} does not divide its {what}s of {length} weights"
        packed, together = (in_features * out_features // group if self.axis == 1 else group), 8 // self.nbits
        if self.nbits != 3 and packed % together:
            return f"its {packed} {'groups' if self.axis == 1 else 'weights of a group'} cannot be packed {together} to a byte"
        return None

    def quantized_layer(self, layer: torch.nn.Linear) -> torch.nn.Module:
        """hqq's HQQLinear; it keeps the bias as a plain tensor, which nobody would count, tune or save."""
        import torch
        from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

        bias = layer.bias
        values = BaseQuantizeConfig(nbits=self.nbits, group_size=self.group_size, axis=self.axis)
        quantized = HQQLinear(layer, values, compute_dtype=layer.weight.dtype, device=str(layer.weight.device))
        if bias is not None:
            quantized.bias = torch.nn.Parameter(bias.data, requires_grad=bias.requires_grad)
        return quantized

    def is_quantized_layer(self, module: torch.nn.Module) -> bool:
        """See WhileLoading.is_quantized_layer."""
        from hqq.core.quantize import HQQLinear

        return isinstance(module, HQQLinear)

    def values(self, layer: Any) -> torch.Tensor:
        """hqq's own dequantization."""
        values: torch.Tensor = layer.dequantize()
        return values

    def quantizer(self, device: str) -> Any:
        """transformers' HqqHfQuantizer."""
        from transformers import HqqConfig
        from transformers.quantizers.quantizer_hqq import HqqHfQuantizer

        return HqqHfQuantizer(HqqConfig(nbits=self.nbits, group_size=self.group_size, axis=self.axis), pre_quantized=False)
