"""Merging: is the merged model what the tuned one was, as far as its weights' storage lets it be?

A sum merged into quantized weights is quantized again, so the merged model cannot be the tuned one; but it can be
about as near to it as a quantized base is to its full-precision weights, and nearer than the untuned base is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

EXACT = 1e-3  # relative error: another order of rounding in full precision, amplified by the layers behind it
REQUANTIZED = 2.0  # times the relative error that quantizing the base makes; correct merges make up to 1.7 times that


@dataclass(frozen=True)
class Nearness:
    """Relative errors (root mean square) of the last hidden states.

    error: of the merged against the tuned model. effect: of the untuned against the tuned one. quantization: of the
    quantized base against its full-precision weights, None where they are stored so.
    """

    error: float
    effect: float
    quantization: float | None

    @property
    def allowed(self) -> float:
        """The largest error that is still a good merge."""
        return EXACT if self.quantization is None else REQUANTIZED * self.quantization

    @property
    def passed(self) -> bool | None:
        """None where tuning has changed too little for it to be seen behind the rounding."""
        if not self.error <= self.allowed:  # nor is what is not a number
            return False
        if self.error < self.effect:
            return True
        return None if self.effect <= (self.quantization or EXACT) else False

    def __str__(self) -> str:
        return f"relative error {self.error:.2g}, {self.allowed:.2g} is allowed; tuning itself changed {self.effect:.2g}"


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Root mean square of the difference, relative to that of what was expected."""
    return float((found - expected).pow(2).mean().sqrt() / expected.pow(2).mean().sqrt())


def last_hidden_states(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The last layer's outputs in fp32: thousands of numbers, where a classifier's logits are too few to judge by."""
    import torch

    model.eval()
    with torch.no_grad():
        outputs = model(**inputs, output_hidden_states=True)
    states = outputs.get("decoder_hidden_states") or outputs["hidden_states"]
    last: torch.Tensor = states[-1].float()
    return last


def base_name(name: str) -> str:
    """What the base model calls a parameter that PEFT has wrapped."""
    for wrapper in ("base_model.model.", "base_model."):
        name = name.removeprefix(wrapper)
    return name.replace(".modules_to_save.default", "")


def tuned_head(model: Any, head: list[str]) -> dict[str, torch.Tensor]:
    """A copy of the tuned task head's parameters by the base model's names. head: names of its modules."""
    named = ((base_name(name), parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
    return {name: parameter.detach().clone() for name, parameter in named if name.partition(".")[0] in head}


def lost(model: Any, head: dict[str, torch.Tensor]) -> list[str]:
    """Names of the head's parameters that the merged model holds other values of."""
    import torch

    return [name for name, parameter in head.items() if not torch.equal(model.get_parameter(name), parameter)]
