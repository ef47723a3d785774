"""Schemes whose libraries quantize a loaded model, one linear layer after the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import HarnessError, Unsupported
from harness.models.anatomy import Anatomy
from harness.models.sizes import weight_tensors
from harness.quantization.while_loading import WhileLoading, linear_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class LayerByLayer(WhileLoading):
    """A scheme whose library replaces one linear layer after the other in a model that is loaded.

    The unquantized weights are loaded into the host's memory; each layer goes to the device by itself and is quantized
    there, so that the device never holds more than one of them unquantized. A checkpoint's missing weights have been
    drawn before that, so they are quantized like all others. Conv1D layers (GPT-2) become linear ones on the way. What
    stays unquantized keeps the model's dtype in training too, as PEFT has it for these libraries.
    """

    kbit: ClassVar[bool] = False

    def misfit(self, in_features: int, out_features: int) -> str | None:
        """Why a layer of that size cannot be stored so, or None."""
        raise NotImplementedError

    def quantized_layer(self, layer: torch.nn.Linear) -> torch.nn.Module:
        """The layer quantized, on its own device; its bias is a parameter as before. May change the layer given."""
        raise NotImplementedError

    def quantizer(self, device: str) -> Any:
        """transformers' HfQuantizer for the library, as from_pretrained would hang it on the model: PEFT and the Trainer ask it."""
        raise NotImplementedError

    def quantization_config(self, dtype: torch.dtype, head: list[str]) -> None:
        """None: from_pretrained gives unquantized weights, `quantize_layers` quantizes them."""
        return

    def unfit(self, anatomy: Anatomy) -> str | None:
        """See Scheme.unfit."""
        output = [] if anatomy.output is None else [anatomy.output]
        kept = self.kept([*output, *(module.name for module in anatomy.modules if module.in_head)])
        for module in anatomy.modules:
            if module.kind in ("linear", "conv1d") and not matches(module.name, kept):
                reason = self.misfit(module.in_features, module.out_features)
                if reason is not None:
                    return f"{self.scheme} cannot store {module.name}: {reason}"
        return None

    def quantize_layers(self, model: PreTrainedModel, head: list[str], device: str) -> None:
        """Quantizes the loaded model in place and moves it to the device. head: modules behind the base model.

        Layers that the architecture keeps in float32 (T5's `wo`) stay unquantized, as in transformers. Raises Unsupported
        for a layer that does not fit, HarnessError where quantized weights are no numbers (quanto's float8 of a row of zeros).
        """
        from transformers.pytorch_utils import Conv1D

        kept = [*self.kept(head), *(model._keep_in_fp32_modules or ())]
        for name, module in list(model.named_modules()):
            if matches(name, kept) or not (is_linear(module) or isinstance(module, Conv1D)):
                continue
            layer = linear_of(module) if isinstance(module, Conv1D) else module
            reason = self.misfit(layer.in_features, layer.out_features)
            if reason is not None:
                raise Unsupported(f"{self.scheme} cannot store {name}: {reason}")
            quantized = self.quantized_layer(layer.to(device))
            if not all(part.float().isfinite().all() for part in weight_tensors(quantized) if part.is_floating_point()):
                raise HarnessError(f"{self.scheme} makes weights of {name} that are no numbers: its library divides by the range of a group that is all one value")
            quantized.source_cls = type(module)
            model.set_submodule(name, quantized)
        model.to(device)
        quantizer = self.quantizer(device)
        model.hf_quantizer, model.is_quantized, model.quantization_method = quantizer, True, quantizer.quantization_config.quant_method


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a module is meant by one of the names, as transformers reads skipped modules: a path from the top down to
    it or to one above it (a regular expression), or the end of its name."""
    return any(re.match(rf"(?:{pattern})(?:\.|$)", name) or name.endswith(pattern) for pattern in patterns)


def is_linear(module: torch.nn.Module) -> bool:
    """Whether it is torch's linear layer itself: a subclass may use its weight in its own way."""
    import torch

    return type(module) is torch.nn.Linear


def addable(product: torch.Tensor) -> torch.Tensor:
    """What an autograd function has computed, as a tensor that can be added to in place, which PEFT does (AdaLoRA): torch
    refuses that for the views that quanto's and torchao's functions return."""
    import torch

    return product.clone() if torch.is_grad_enabled() and product._is_view() else product
