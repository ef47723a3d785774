"""Equal budgets: the size of a method that comes nearest to a given number of trainable parameters.

Papers compare methods at equal numbers of trainable parameters; the size that gets there differs by method and model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from harness.errors import Unsupported
from harness.fields import Config, identity
from harness.models.anatomy import Anatomy

_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


def _count(value: Any) -> Any:
    """300k -> 300000; anything else is left to the field's own type."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmb])\s*", value, re.IGNORECASE) if isinstance(value, str) else None
    return round(float(match[1]) * _FACTORS[match[2].lower()]) if match else value


class Budget(Config):
    """How many parameters a method may train, its own alone: the new task head, tuned with every method, is not counted."""

    trainable_parameters: Annotated[int, BeforeValidator(_count)] | None = identity(None, gt=0, description="a number: 300000, 300k, 1.5M")
    percent: float | None = identity(None, gt=0, le=100, description="percent of the model's parameters, its head included")
    tolerance_percent: float = identity(25.0, ge=0, description="how far off the nearest size may be before the cell is refused")

    @model_validator(mode="after")
    def _one_of_them(self) -> Budget:
        if (self.trainable_parameters is None) == (self.percent is None):
            raise ValueError("give one of trainable_parameters (300k) and percent (0.5)")
        return self

    def parameters(self, anatomy: Anatomy) -> int:
        """The budget as a number of parameters of that model."""
        if self.trainable_parameters is not None:
            return self.trainable_parameters
        assert self.percent is not None, "one of the two is given"
        return max(1, round(anatomy.total * self.percent / 100))


@dataclass(frozen=True)
class Chosen:
    """A size that was chosen: the field, its value, the parameters it gives (those the budget counts) and those that were asked for."""

    knob: str
    size: int
    parameters: int
    wanted: int

    def __str__(self) -> str:
        off = 100 * (self.parameters - self.wanted) / self.wanted
        return f"{self.knob} {self.size} gives {self.parameters:,} parameters, {off:+.1f} % off the budget of {self.wanted:,}"


def nearest_size(budget: Budget, anatomy: Anatomy, knob: str, largest: int, count: Callable[[int], int], step: int = 1) -> Chosen:
    """The multiple of `step` up to `largest` whose count comes nearest to the budget; the smaller one of two equally near.

    count: trainable parameters by size, which never fall. Raises Unsupported where even the nearest is further
    off than the budget tolerates.
    """
    wanted = budget.parameters(anatomy)
    most = max(largest // step, 1)
    low, high = 1, most
    while low < high:  # the smallest size with at least the budget
        middle = (low + high) // 2
        low, high = (low, middle) if count(middle * step) >= wanted else (middle + 1, high)
    candidates = [steps * step for steps in (low - 1, low) if steps >= 1]
    size = min(candidates, key=lambda each: abs(count(each) - wanted))
    chosen = Chosen(knob, size, count(size), wanted)
    if abs(chosen.parameters - wanted) > wanted * budget.tolerance_percent / 100:
        raise Unsupported(
            f"the budget of {wanted:,} trainable parameters is out of reach: {knob} {step} to {most * step} gives "
            f"{count(step):,} to {count(most * step):,}, the nearest is {chosen.parameters:,} ({knob} {size}); tolerance_percent is {budget.tolerance_percent:g}"
        )
    return chosen
