"""torchao: int8 and int4 weights, activations as they are. Source: the library, https://github.com/pytorch/ao.

int8 is symmetric, with a float32 scale per row or group. int4 is what the tinygemm kernels compute with: a scale and a
zero point per group, packed for the device.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.errors import Unsupported
from harness.fields import identity
from harness.needs import Needs
from harness.quantization.base import SCHEMES
from harness.quantization.layer_by_layer import LayerByLayer, addable

if TYPE_CHECKING:
    import torch

KERNEL_ROWS = 16  # torch's packing for a CPU takes weights in blocks of so many rows


class TorchAo(LayerByLayer):
    """What both have in common: weights are tensors of torchao's, in linear layers."""

    needs: ClassVar[Needs] = Needs(packages=("torchao",))

    def config(self, device: str) -> Any:
        """torchao's configuration for a device."""
        raise NotImplementedError

    def misfit(self, in_features: int, out_features: int) -> str | None:
        """See LayerByLayer.misfit. torchao would leave the layer unquantized without a word."""
        group = self.group
        return None if group is None or in_features % group == 0 else f"group_size {group} does not divide its rows of {in_features} weights"

    @property
    def group(self) -> int | None:
        """Weights that share constants; None: a whole row."""
        raise NotImplementedError

    def quantized_layer(self, layer: torch.nn.Linear) -> torch.nn.Module:
        """The layer, its weight quantized by torchao."""
        from torchao.quantization import quantize_

        quantize_(layer, self.config(layer.weight.device.type))
        return layer

    def is_quantized_layer(self, module: torch.nn.Module) -> bool:
        """See WhileLoading.is_quantized_layer."""
        import torch
        from torchao.utils import TorchAOBaseTensor

        return isinstance(module, torch.nn.Linear) and isinstance(module.weight, TorchAOBaseTensor)

    def kernel(self, layer: Any) -> str:
        """The class of the weight, which computes the products."""
        return type(layer.weight).__name__

    def quantizer(self, device: str) -> Any:
        """transformers' quantizer for torchao, which tells PEFT how to quantize again what it has merged."""
        from transformers import TorchAoConfig

        return _quantizer_class()(TorchAoConfig(self.config(device)), pre_quantized=False)


@SCHEMES.register("torchao-int8")
class TorchAoInt8(TorchAo):
    """Int8WeightOnlyConfig: the int8 weights go through the product, and its sums are scaled."""

    group_size: int | None = identity(None, ge=2, description="weights that share a scale; null: a whole row")

    @property
    def group(self) -> int | None:
        """See TorchAo.group."""
        return self.group_size

    def config(self, device: str) -> Any:
        """See TorchAo.config."""
        from torchao.quantization import Int8WeightOnlyConfig, PerGroup, PerRow

        granularity = PerRow() if self.group_size is None else PerGroup(self.group_size)
        return Int8WeightOnlyConfig(granularity=granularity, set_inductor_config=False)

    def values(self, layer: Any) -> torch.Tensor:
        """torchao's own dequantization."""
        values: torch.Tensor = layer.weight.dequantize()
        return values


@SCHEMES.register("torchao-int4")
class TorchAoInt4(TorchAo):
    """Int4WeightOnlyConfig with tiles for tensor cores on CUDA (bfloat16 only), its prototype for CPUs there.

    torchao has no backward pass for these kernels, so the layer has one of ours: with the weights that the kernel stands for.
    """

    needs: ClassVar[Needs] = Needs(packages=("torchao",), compute_capability=(8, 0))

    group_size: Literal[32, 64, 128] = identity(128, description="weights that share a scale and a zero point")

    @property
    def group(self) -> int | None:
        """See TorchAo.group."""
        return self.group_size

    def config(self, device: str) -> Any:
        """See TorchAo.config."""
        if device == "cpu":
            from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

            return PrototypeInt4WeightOnlyConfig(group_size=self.group_size, set_inductor_config=False)
        from torchao.quantization import Int4WeightOnlyConfig

        return Int4WeightOnlyConfig(group_size=self.group_size, int4_packing_format="tile_packed_to_4d", set_inductor_config=False)

    def quantized_layer(self, layer: torch.nn.Linear) -> torch.nn.Module:
        """See TorchAo.quantized_layer. Raises Unsupported for what the device's kernel does not take."""
        import torch

        device, dtype = layer.weight.device.type, layer.weight.dtype
        if device != "cpu" and dtype != torch.bfloat16:
            raise Unsupported(f"{self.scheme} computes in bfloat16 on CUDA; the model's dtype is {str(dtype).removeprefix('torch.')}")
        if device == "cpu" and layer.out_features % KERNEL_ROWS:
            raise Unsupported(f"{self.scheme} packs multiples of {KERNEL_ROWS} rows on a CPU; a layer has {layer.out_features}")
        quantized = super().quantized_layer(layer)
        quantized.__class__ = _differentiable_linear()
        return quantized

    def caution(self, device: str, dtype: torch.dtype) -> str | None:
        """See Scheme.caution. Source: pytorch/aten/src/ATen/native/cpu/int4mm_kernel.cpp, whose vectorized kernels take bfloat16 alone."""
        import torch

        if device != "cpu" or dtype == torch.bfloat16:
            return None
        name = str(dtype).removeprefix("torch.")
        return f"{self.scheme}: torch's int4 product on a CPU is vectorized for bfloat16 alone; in {name} it goes weight by weight, about 100 times slower"

    def values(self, layer: Any) -> torch.Tensor:
        """The product with the identity: the packed weights are laid out for the kernel, and it alone reads them."""
        return _values(layer.weight)


def _values(weight: torch.Tensor) -> torch.Tensor:
    import torch

    identity_matrix = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)
    with torch.no_grad():
        return torch.nn.functional.linear(identity_matrix, weight).t()


@cache
def _quantizer_class() -> type[Any]:
    """TorchAoHfQuantizer; it calls int4 untrainable, for want of the backward pass that the layers below have."""
    from transformers.quantizers.quantizer_torchao import TorchAoHfQuantizer

    class TrainableTorchAoQuantizer(TorchAoHfQuantizer):
        @property
        def is_trainable(self) -> bool:
            return True

    return TrainableTorchAoQuantizer


@cache
def _differentiable_linear() -> type[torch.nn.Linear]:
    """The class of linear layers whose product passes a gradient on to its input and its bias, not to its weight."""
    import torch

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, activations: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
            ctx.weight = weight
            return torch.nn.functional.linear(activations, weight, bias)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, None, torch.Tensor | None]:
            of_input = gradient @ _values(ctx.weight).to(gradient.dtype) if ctx.needs_input_grad[0] else None
            of_bias = gradient.flatten(0, -2).sum(0) if ctx.needs_input_grad[2] else None
            return of_input, None, of_bias

    class DifferentiableInt4Linear(torch.nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return addable(Product.apply(input, self.weight, self.bias))

    return DifferentiableInt4Linear
