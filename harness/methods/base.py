"""What a method is: how a loaded model is made trainable, and what that needs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from harness.errors import Unsupported
from harness.fields import Config, identity
from harness.methods.budget import Budget, Chosen, nearest_size
from harness.models.anatomy import Anatomy
from harness.needs import ModelFacts, Needs
from harness.quantization.base import Scheme
from harness.registry import Registry
from harness.tasks.base import NEW_HEADS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from harness.tasks.base import Task

METHODS: Registry[Method]


@dataclass(frozen=True)
class Attachment:
    """What a method is told about the cell it is attached in.

    anatomy: the loaded model's. head: the task's head (`causal-lm`, `sequence-classification`, ...). steps:
    optimizer steps that training will take, None where nothing is trained. gradient_checkpointing: as the suite's
    train section says. tokenizer: the model's. label_words: what the task's classes are called, in their order;
    None where the task has no classes. notes: a method appends here whatever the record must tell.
    """

    model: ModelFacts
    anatomy: Anatomy
    scheme: Scheme
    head: str
    steps: int | None
    gradient_checkpointing: bool
    seed: int
    notes: list[str]
    tokenizer: PreTrainedTokenizerBase | None = None
    label_words: tuple[str, ...] | None = None

    @property
    def new_head(self) -> bool:
        """Whether the head was made for the task: it begins at random, and every method tunes and saves it."""
        return self.head in NEW_HEADS


class Method(Config):
    """One way of tuning. A subclass declares its hyper-parameters as fields, registers itself, and attaches.

    tunes: whether anything is trained. merges: whether the tuned weights can be folded into the base weights, or are the base's own.
    """

    method: str = identity(description="the method's registered name")

    needs: ClassVar[Needs] = Needs()
    tunes: ClassVar[bool] = True
    merges: ClassVar[bool] = False

    @property
    def adds_to_loss(self) -> bool:
        """Whether the attached model's loss has a term beside the task's, or is normalised in a way of its own."""
        return False

    @property
    def virtual_tokens(self) -> int:
        """Positions of the model's context that the method takes for itself in every input."""
        return 0

    @property
    def wants_choices(self) -> bool:
        """Whether it trains on rows with every answer of a question, the right one and the wrong ones; see TaskContext.choices."""
        return False

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """Why this method cannot work on that model under that scheme, or None. Called by the plan, without torch."""
        return None

    def solved(self, anatomy: Anatomy) -> tuple[Method, Chosen | None]:
        """The method with a size that fits its budget, and what was chosen; itself and None without a budget.

        Raises Unsupported for a budget that no size reaches.
        """
        return self, None

    def count(self, anatomy: Anatomy) -> int:
        """Parameters that the method trains on that model, by formula, the new task head not among them.

        Raises Unsupported where the model has nothing that the method attaches to.
        """
        raise NotImplementedError

    def adapted(self, task: Task) -> Task:
        """The task as this method does it: the same one, unless the method is a way of asking. Raises Unsupported."""
        return task

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """The model with exactly the parameters to be tuned requiring gradients; may be a new, wrapping object.

        Raises harness.errors.Unsupported where the model turns out not to carry the method.
        """
        raise NotImplementedError

    def parameter_groups(self, model: Any, learning_rate: float, weight_decay: float) -> list[dict[str, Any]] | None:
        """torch's optimizer groups (params, lr, weight_decay); None leaves them to transformers' Trainer."""
        return None

    def loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor | None:
        """The training loss of a batch, a scalar; None takes the model's own."""
        return None

    def after_step(self, model: Any, step: int) -> None:
        """Called after every optimizer step, its gradients still there; steps count from 1."""

    def rank_allocation(self, model: Any) -> dict[str, int] | None:
        """Rank by module name after training, for a method that shares ranks out; None for all others."""
        return None

    def kept(self, model: Any) -> Callable[[], None]:
        """Copies what training changes, as it is now, to the host; called, the result puts it back.

        By default the parameters that require gradients. Overridden where training changes more.
        """
        copies = {name: values.detach().to("cpu", copy=True) for name, values in model.named_parameters() if values.requires_grad}

        def put_back() -> None:
            for name, values in model.named_parameters():
                if name in copies:
                    values.data.copy_(copies[name])

        return put_back

    def save(self, model: Any, folder: Path) -> None:
        """Writes what was tuned to `folder` as safetensors; nothing where nothing was, or where it is the whole model."""

    def reload(self, model: PreTrainedModel, folder: Path, attachment: Attachment) -> Any:
        """A freshly loaded base model with what `save` wrote attached again. Raises Unsupported where nothing is saved."""
        raise Unsupported(f"{self.method} saves nothing that could be loaded")

    def off(self, model: Any) -> AbstractContextManager[Any]:
        """A context in which the model answers as its base does. Raises Unsupported where the base weights were tuned."""
        raise Unsupported(f"{self.method} tunes the base weights themselves: there is nothing to turn off")

    def unmergeable(self) -> str | None:
        """Why what it tunes cannot be folded into base weights in full precision, by its fields alone, or None. Called by the plan, without torch."""
        return None if self.merges else f"{self.method} cannot be merged into the base weights"

    def merged(self, model: Any) -> Any:
        """The model with the tuned weights folded into the base weights. Raises Unsupported where they cannot be."""
        raise Unsupported(f"{self.method} cannot be merged into the base weights")


class SizedMethod(Method):
    """A method with one size (rank, bottleneck, prompt length) that a budget can choose.

    knob: the field that holds the size.
    """

    knob: ClassVar[str]

    budget: Budget | None = identity(None, description="choose the size by trainable parameters: {trainable_parameters: 300k} or {percent: 0.5}")

    @model_validator(mode="after")
    def _size_or_budget(self) -> SizedMethod:
        if self.budget is not None and self.knob in self.model_fields_set:
            raise ValueError(f"give {self.knob} or a budget that chooses it, not both")
        return self

    def largest(self, anatomy: Anatomy) -> int:
        """The largest size that makes sense on that model; by default the width of its residual stream."""
        return anatomy.hidden_size

    @property
    def step(self) -> int:
        """Sizes are multiples of it."""
        return 1

    def with_size(self, size: int) -> SizedMethod:
        """The method at that size, its budget spent. Overridden where other fields follow the size."""
        given = self.model_dump(exclude_unset=True) | {self.knob: size, "budget": None}
        return type(self).model_validate(given)

    def budgeted(self, anatomy: Anatomy) -> int:
        """Parameters that a budget counts: those trained, unless the method's paper counts others."""
        return self.count(anatomy)

    def solved(self, anatomy: Anatomy) -> tuple[Method, Chosen | None]:
        """See Method.solved."""
        if self.budget is None:
            return self, None
        chosen = nearest_size(
            self.budget, anatomy, self.knob, self.largest(anatomy), lambda size: self.with_size(size).budgeted(anatomy), self.step
        )
        return self.with_size(chosen.size), chosen


METHODS = Registry("method", "harness.methods", "harness.methods")
