"""Linear layers of gptqmodel in a loaded model: found, measured, settled, and turned into ordinary ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.models.sizes import weight_bytes, weights_in
from harness.quantization.base import QuantizedLayer
from harness.quantization.while_loading import plain_linear

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ROWS_AT_ONCE = 1024


def packed_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Name and module of every layer of gptqmodel, whatever its kernel."""
    from gptqmodel.nn_modules.qlinear import BaseQuantLinear

    return ((name, module) for name, module in model.named_modules() if isinstance(module, BaseQuantLinear))


def measured_layers(model: Any) -> Iterator[QuantizedLayer]:
    """Those layers as they are stored; the kernel is the class that computes."""
    for name, layer in packed_layers(model):
        yield QuantizedLayer(name, weights_in(layer), weight_bytes(layer), type(layer).__name__)


def settle(model: PreTrainedModel) -> None:
    """Takes back what gptqmodel does to its layers on a CPU after loading: torch.compile of their dequantization.

    A compiled function is bound to the layer that it was made for, so a copy of the layer would compute with the
    original's weights; and it is compiled again in every cell, for longer than a small model is trained. Raises
    HarnessError where transformers has passed over the packed layers of its checkpoint, which is no error of its own.
    """
    layers = list(packed_layers(model))
    if not layers:
        raise HarnessError(f"transformers has put no quantized layer into this {model.config.model_type} model: its packed weights were passed over")
    if model.device.type == "cpu":
        for _, layer in layers:
            layer.__dict__.pop("dequantize_weight", None)


def dequantized(model: PreTrainedModel) -> PreTrainedModel:
    """The model with torch.nn.Linear in place of gptqmodel's layers, which are let go one by one."""
    for name, layer in list(packed_layers(model)):
        model.set_submodule(name, linear_of(layer, model.dtype))
    model.hf_quantizer.remove_quantization_config(model)
    return model


def linear_of(layer: Any, dtype: torch.dtype) -> torch.nn.Linear:
    """The ordinary layer, in `dtype`, with the weights that a layer of gptqmodel stands for.

    They are its products with the rows of the identity: exact, and the same way for every kernel, also those that
    repack what they have loaded.
    """
    import torch

    device, rows = next(layer.buffers()).device, layer.in_features
    with torch.no_grad():
        bias = None if layer.bias is None else torch.nn.Parameter(layer(torch.zeros(1, rows, device=device, dtype=dtype))[0], requires_grad=False)
        layer.bias = None  # the layer is not used again; with its bias the products would be rounded
        weight = torch.empty(layer.out_features, rows, device=device, dtype=dtype)
        for start in range(0, rows, ROWS_AT_ONCE):
            some = torch.zeros(min(ROWS_AT_ONCE, rows - start), rows, device=device, dtype=dtype)
            some[:, start:].fill_diagonal_(1)
            weight[:, start : start + len(some)] = layer(some).T
    return plain_linear(weight, bias)
