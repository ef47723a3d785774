"""optimum-quanto: weights in int8, int4, int2 or float8, activations as they are.

8-bit weights have one scale per row; 4 and 2 bit have a scale and a shift per group. Source: the library,
https://github.com/huggingface/optimum-quanto.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from harness.needs import Needs
from harness.quantization.base import SCHEMES
from harness.quantization.layer_by_layer import LayerByLayer, addable

if TYPE_CHECKING:
    import torch

WEIGHTS = {"quanto-int8": "int8", "quanto-int4": "int4", "quanto-int2": "int2", "quanto-float8": "float8"}


@SCHEMES.register(*WEIGHTS)
class Quanto(LayerByLayer):
    """The data type by the scheme's name. quanto chooses the group itself: the largest of 128, 96, 64, 32 that divides a
    row longer than 128, else the whole row."""

    needs: ClassVar[Needs] = Needs(packages=("optimum.quanto",))

    def misfit(self, in_features: int, out_features: int) -> str | None:
        """None: what no group divides gets one per row."""
        return None

    def quantized_layer(self, layer: torch.nn.Linear) -> torch.nn.Module:
        """quanto's QLinear, frozen: its weights are quantized once, not at every product."""
        from optimum.quanto import qfloat8, qint2, qint4, qint8
        from optimum.quanto.nn import QLinear

        qtypes = {"int8": qint8, "int4": qint4, "int2": qint2, "float8": qfloat8}
        quantized = QLinear.from_module(layer, weights=qtypes[WEIGHTS[self.scheme]])
        quantized.freeze()
        quantized.weight.requires_grad_(False)
        quantized.__class__ = _usable_linear()
        return quantized

    def is_quantized_layer(self, module: torch.nn.Module) -> bool:
        """See WhileLoading.is_quantized_layer."""
        from optimum.quanto.nn import QLinear

        return isinstance(module, QLinear)

    def values(self, layer: Any) -> torch.Tensor:
        """quanto's own dequantization."""
        values: torch.Tensor = layer.weight.dequantize()
        return values

    def kernel(self, layer: Any) -> str:
        """The class of the weight, which computes the products: quanto chooses it by device, dtype and size."""
        return type(layer.weight).__name__

    def quantizer(self, device: str) -> Any:
        """transformers' QuantoHfQuantizer."""
        from transformers import QuantoConfig
        from transformers.quantizers.quantizer_quanto import QuantoHfQuantizer

        return QuantoHfQuantizer(QuantoConfig(weights=WEIGHTS[self.scheme]), pre_quantized=False)


@cache
def _usable_linear() -> type[Any]:
    """quanto's QLinear, with two things put right that its own autograd function gets wrong."""
    import torch
    from optimum.quanto.nn import QLinear

    class UsableQLinear(QLinear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if torch.is_inference_mode_enabled():  # 4 and 2 bit transpose a wrapper there, which torch refuses
                with torch.inference_mode(False), torch.no_grad():
                    return super().forward(input)
            return addable(super().forward(input))

    return UsableQLinear
