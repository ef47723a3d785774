"""A dozen training steps: does the loss fall, are the gradients finite, and which weights have changed?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.methods.base import Method
from harness.methods.checks.weights import frozen_digests, tuned_digests

if TYPE_CHECKING:
    import torch

STEPS = 12
# Rates are tried until the loss falls clearly: prompts need larger ones than weights, some methods smaller ones.
LEARNING_RATES = (1e-2, 1e-1, 1e-3, 1.0)
CLEAR_FALL = 0.05  # of the loss
NUDGE = 0.01  # of a parameter's mean magnitude
LEAST_FALL = 1e-3  # of the loss; rounding moves it by a millionth


@dataclass(frozen=True)
class Tuned:
    """A model after its steps at one learning rate.

    losses: before every step and after the last. finite: whether all gradients were, and there were any. unmoved:
    tuned parameters that are still what they were, though the loss depends on them. moved: frozen weights of the
    base that are not what they were.
    """

    model: Any
    learning_rate: float
    losses: tuple[float, ...]
    finite: bool
    unmoved: tuple[str, ...]
    moved: tuple[str, ...]

    @property
    def fall(self) -> float:
        """By how much of itself the loss has fallen."""
        return (self.losses[0] - self.losses[-1]) / abs(self.losses[0])


def best_tuned(attempts: Callable[[float], Tuned]) -> Tuned:
    """The first attempt whose loss falls clearly, or that with the greatest fall of all learning rates."""
    tried: list[Tuned] = []
    for learning_rate in LEARNING_RATES:
        tried.append(attempts(learning_rate))
        if tried[-1].finite and tried[-1].fall >= CLEAR_FALL:
            return tried[-1]
    return max(tried, key=lambda tuned: (tuned.finite, tuned.fall))


def ignored(model: Any, names: Sequence[str], loss: Callable[[Any], torch.Tensor]) -> list[str]:
    """Those of the parameters that the loss depends on: if they have not moved, their gradient was lost on the way.

    The others cannot move (a pooler in a language model, a factor of something that is zero): nudged a little, they
    leave the loss the same to the last bit.
    """
    import torch

    def nudged(some: Sequence[str]) -> float:
        parameters = [model.get_parameter(name) for name in some]
        kept = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(NUDGE * (parameter.abs().mean() if bool(parameter.any()) else 1.0))
            found = float(loss(model))
            for parameter, values in zip(parameters, kept, strict=True):
                parameter.copy_(values)
        return found

    before = nudged([])
    if nudged(names) == before:
        return []
    return [name for name in names if nudged([name]) != before]


def tune(
    method: Method, model: Any, loss: Callable[[Any], torch.Tensor], base: Sequence[torch.Tensor], learning_rate: float
) -> Tuned:
    """STEPS steps of AdamW on one batch.

    loss: of the model in training mode, the same number whenever nothing was changed. base: the base model's
    parameters, taken before the method was attached.
    """
    import torch

    frozen, before = frozen_digests(model, base), tuned_digests(model)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = method.parameter_groups(model, learning_rate, 0.0) or [{"params": parameters}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0.0)
    losses, finite = [], True
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        current = loss(model)
        current.backward()
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        finite = finite and bool(gradients) and all(bool(gradient.isfinite().all()) for gradient in gradients)
        optimizer.step()
        if step == 1:
            first = tuned_digests(model)
        method.after_step(model, step)
        losses.append(float(current.detach()))
    with torch.no_grad():
        losses.append(float(loss(model)))
    # AdaLoRA takes back what it has trained: what moved at the first step has moved
    still = [name for name, found in tuned_digests(model).items() if before.get(name) == first.get(name) == found]
    return Tuned(
        model=model,
        learning_rate=learning_rate,
        losses=tuple(losses),
        finite=finite,
        unmoved=tuple(ignored(model, still, loss)),
        moved=tuple(name for name, found in frozen_digests(model, base).items() if frozen[name] != found),
    )
