"""Scheme `none`: weights as the model entry's dtype says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from harness.needs import ModelFacts
from harness.quantization.base import SCHEMES, QuantizedLayer, Scheme

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@SCHEMES.register("none")
class Unquantized(Scheme):
    """Weights in float32, bfloat16 or float16, as the model entry's `dtype` says."""

    quantizes: ClassVar[bool] = False
    tunable_weights: ClassVar[bool] = True
    kbit: ClassVar[bool] = False

    def unsupported(self, model: ModelFacts | None) -> str | None:
        """A checkpoint that is quantized stays quantized when it is loaded."""
        if model is not None and model.prequantized is not None:
            return f"the checkpoint is quantized ({model.prequantized}): its scheme is `prequantized`"
        return None

    def quantization_config(self, dtype: torch.dtype, head: list[str]) -> None:
        """None: nothing is quantized."""
        return

    def quantized_layers(self, model: Any) -> Iterator[QuantizedLayer]:
        """None."""
        return iter(())

    def dequantized(self, model: PreTrainedModel) -> PreTrainedModel:
        """The model itself."""
        return model
