"""What a scheme is: how a model's weights are stored, and what that needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.fields import Config, identity
from harness.needs import ModelFacts, Needs
from harness.registry import Registry

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SCHEMES: Registry[Scheme]


class Scheme(Config):
    """One way of storing weights. A subclass declares its fields, registers itself, and says how to load.

    quantizes: whether weights are stored in fewer bits. tunable_weights: whether the stored weights can be
    trained themselves (full tuning). kbit: whether peft.prepare_model_for_kbit_training is due before training.
    rounds_activations: whether products are taken with rounded activations, so that the same function in another way
    (with a cache, padded) is not the same to the last digits.
    """

    scheme: str = identity(description="the scheme's registered name")

    needs: ClassVar[Needs] = Needs()
    quantizes: ClassVar[bool] = True
    tunable_weights: ClassVar[bool] = False
    kbit: ClassVar[bool] = True
    rounds_activations: ClassVar[bool] = False

    def unsupported(self, model: ModelFacts | None) -> str | None:
        """Why this scheme cannot store that model, or None. Called by the plan, without torch."""
        return None

    def quantization_config(self, dtype: torch.dtype, head: list[str]) -> Any | None:
        """What from_pretrained gets as `quantization_config`; None stores the weights as `dtype`.

        dtype: of the weights outside the quantized layers. head: modules behind the base model (task head or
        output embeddings), which have no trained weights yet or are too sensitive, and are usually kept.
        """
        raise NotImplementedError

    def settle(self, model: PreTrainedModel) -> None:
        """Called once with the loaded model: what the scheme still has to put right. By default nothing."""


SCHEMES = Registry("scheme", "harness.quantization", "harness.schemes")
