"""Methods on the whole model: `none` tunes nothing, `full` tunes everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.methods.base import METHODS, Attachment, Method
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@METHODS.register("none")
class Untuned(Method):
    """The model as it is loaded: the baseline that shows what tuning changes."""

    tunes: ClassVar[bool] = False

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """The same model, frozen."""
        model.requires_grad_(False)
        return model


@METHODS.register("full")
class Full(Method):
    """Every parameter is tuned."""

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """Quantized weights are integers: they have no gradient."""
        if not scheme.tunable_weights:
            return f"full tuning needs weights with gradients; {scheme.scheme} stores them quantized"
        return None

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """The same model, all parameters requiring gradients."""
        model.requires_grad_(True)
        return model
