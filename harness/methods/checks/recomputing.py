"""Gradient checkpointing: does recomputing activations give the gradients that keeping them gives?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.methods.peft_model import REENTRANT

if TYPE_CHECKING:
    import torch

SAME = 1e-3  # of the largest gradient


@dataclass(frozen=True)
class Recomputed:
    """missing: parameters that have a gradient without checkpointing alone. difference: the largest one; largest: gradient."""

    missing: tuple[str, ...]
    difference: float
    largest: float

    @property
    def same(self) -> bool:
        """Whether no gradient is lost and none differs."""
        return not self.missing and self.difference <= SAME * self.largest

    def __str__(self) -> str:
        return f"gradients differ by {self.difference:.2g} of {self.largest:.2g}"


def recomputed(build: Callable[[bool], Any], loss: Callable[[Any], torch.Tensor]) -> Recomputed:
    """Compares both ways. build(checkpointing): the same model every time. loss: in training mode, the same dropout every time."""
    again, plain = _gradients(build(True), loss, True), _gradients(build(False), loss, False)
    return Recomputed(
        missing=tuple(sorted(set(plain) - set(again))),
        difference=max((float((plain[name] - again[name]).abs().max()) for name in plain if name in again), default=0.0),
        largest=max((float(gradient.abs().max()) for gradient in plain.values()), default=0.0),
    )


def _gradients(model: Any, loss: Callable[[Any], torch.Tensor], checkpointing: bool) -> dict[str, torch.Tensor]:
    if checkpointing:
        model.gradient_checkpointing_enable(REENTRANT)
    loss(model).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
