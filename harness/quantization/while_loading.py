"""Schemes that quantize while the weights are loaded, without calibration and with nothing kept on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from harness.fields import identity
from harness.models.sizes import weight_bytes, weights_in
from harness.quantization.base import QuantizedLayer, QuantizingScheme

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class WhileLoading(QuantizingScheme):
    """What they have in common: the modules that they leave alone, and layers that transformers or `LayerByLayer` has put in
    place, each with the class of the layer before it as `source_cls`."""

    skip_modules: list[str] | None = identity(
        None, description="modules kept unquantized, by name; null: the task head and the output embeddings"
    )

    @field_validator("skip_modules")
    @classmethod
    def _names_are_regular_expressions(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            try:
                re.compile(name)
            except re.error as error:
                raise ValueError(f"{name!r} is no regular expression, as which transformers reads it: {error}") from error
        return names

    def kept(self, head: list[str]) -> list[str]:
        """Names of the modules that stay unquantized. head: those behind the base model."""
        return head if self.skip_modules is None else self.skip_modules

    def is_quantized_layer(self, module: torch.nn.Module) -> bool:
        """Whether it is a layer as the scheme's library stores it."""
        raise NotImplementedError

    def values(self, layer: Any) -> torch.Tensor:
        """The weights that a quantized layer stands for, of shape (out_features, in_features)."""
        raise NotImplementedError

    def kernel(self, layer: Any) -> str:
        """Name of the class that computes a quantized layer's products."""
        return type(layer).__name__

    def quantized_layers(self, model: Any) -> Iterator[QuantizedLayer]:
        """See Scheme.quantized_layers."""
        for name, layer in self._found(model):
            yield QuantizedLayer(name, weights_in(layer), weight_bytes(layer), self.kernel(layer))

    def dequantized(self, model: PreTrainedModel) -> PreTrainedModel:
        """See Scheme.dequantized. The layers are of the class that the architecture has there."""
        from transformers.pytorch_utils import Conv1D

        for name, layer in list(self._found(model)):
            ordinary = plain_linear(self.values(layer).to(model.dtype), layer.bias)
            model.set_submodule(name, conv1d_of(ordinary) if issubclass(layer.source_cls, Conv1D) else ordinary)
        model.hf_quantizer.remove_quantization_config(model)
        return model

    def _found(self, model: Any) -> Iterator[tuple[str, Any]]:
        return ((name, module) for name, module in model.named_modules() if self.is_quantized_layer(module))


def plain_linear(weight: torch.Tensor, bias: torch.nn.Parameter | None) -> torch.nn.Linear:
    """An ordinary linear layer of these weights, of shape (out_features, in_features), on their device."""
    import torch

    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight, layer.bias = torch.nn.Parameter(weight.contiguous(), requires_grad=False), bias
    return layer


def linear_of(conv1d: Any) -> torch.nn.Linear:
    """The linear layer that computes the same as one of transformers' Conv1D (GPT-2), whose weight lies the other way round."""
    return plain_linear(conv1d.weight.data.t(), conv1d.bias)


def conv1d_of(linear: torch.nn.Linear) -> Any:
    """The Conv1D layer that computes the same as a linear one: a checkpoint of GPT-2 is read as such layers."""
    import torch
    from transformers.pytorch_utils import Conv1D

    with torch.device("meta"):
        layer = Conv1D(linear.out_features, linear.in_features)
    layer.weight, layer.bias = torch.nn.Parameter(linear.weight.data.t().contiguous(), requires_grad=False), linear.bias
    return layer
