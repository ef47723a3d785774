"""Methods on the whole model: `none` tunes nothing, `full` tunes everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.methods.base import METHODS, Attachment, Method
from harness.models.anatomy import Anatomy
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@METHODS.register("none")
class Untuned(Method):
    """The model as it is loaded: the baseline that shows what tuning changes. Trainable parameters: 0."""

    tunes: ClassVar[bool] = False

    def count(self, anatomy: Anatomy) -> int:
        """0: not even a new task head is tuned."""
        return 0

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """The same model, frozen."""
        model.requires_grad_(False)
        return model


class TunedBase(Method):
    """A method that tunes the base model's own weights: there is nothing beside them to turn off, and they are merged as they are."""

    merges: ClassVar[bool] = True

    def merged(self, model: Any) -> Any:
        """The same model: the tuned weights are the base's own already."""
        return model


@METHODS.register("full")
class Full(TunedBase):
    """Every parameter is tuned. Trainable parameters, the new task head not among them: total - head."""

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """Quantized weights are integers: they have no gradient."""
        if not scheme.tunable_weights:
            return f"full tuning needs weights with gradients; {scheme.scheme} stores them quantized"
        return None

    def count(self, anatomy: Anatomy) -> int:
        """All parameters but those of the new task head."""
        return anatomy.total - anatomy.head

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """The same model, all parameters requiring gradients."""
        model.requires_grad_(True)
        return model
