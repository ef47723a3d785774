"""Training without chance: on four rows, dropout moves a classifier's loss by more than what is looked for."""

from __future__ import annotations

from typing import Any


def turn_dropout_off(model: Any) -> None:
    """Sets every dropout of the model to 0, for good: torch's layers, and the shares that attention layers keep as plain numbers."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)
