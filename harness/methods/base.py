"""What a method is: how a loaded model is made trainable, and what that needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.fields import Config, identity
from harness.needs import ModelFacts, Needs
from harness.quantization.base import Scheme
from harness.registry import Registry

if TYPE_CHECKING:
    from transformers import PreTrainedModel

METHODS: Registry[Method]


@dataclass(frozen=True)
class Attachment:
    """What a method is told about the cell it is attached in.

    head: the task's head (`causal-lm`, `sequence-classification`, ...). steps: optimizer steps that training
    will take (schedules need it). gradient_checkpointing: as the suite's train section says. notes: a method
    appends here whatever the record must tell.
    """

    model: ModelFacts
    scheme: Scheme
    head: str
    steps: int | None
    gradient_checkpointing: bool
    seed: int
    notes: list[str]


class Method(Config):
    """One way of tuning. A subclass declares its hyper-parameters as fields, registers itself, and attaches.

    tunes: whether anything is trained. merges: whether `merge` can fold it into the base weights.
    """

    method: str = identity(description="the method's registered name")

    needs: ClassVar[Needs] = Needs()
    tunes: ClassVar[bool] = True
    merges: ClassVar[bool] = False

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """Why this method cannot work on that model under that scheme, or None. Called by the plan, without torch."""
        return None

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """The model with exactly the parameters to be tuned requiring gradients; may be a new, wrapping object.

        Raises harness.errors.Unsupported where the model turns out not to carry the method.
        """
        raise NotImplementedError


METHODS = Registry("method", "harness.methods", "harness.methods")
