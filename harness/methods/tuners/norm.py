"""Norms that are tuned whole, beside the frozen ones."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from harness.methods.tuners.config import PeltConfig
from harness.methods.tuners.layer import PeltLayer

if TYPE_CHECKING:
    from harness.methods.tuners.model import PeltModel


class NormLayer(PeltLayer):
    """A copy of a norm that is tuned in its place.

    PEFT's modules_to_save would match by a name's ending, and tune a bf16 model's norms in bf16, where a step of a
    typical learning rate rounds to nothing; here PEFT's autocast_adapter_dtype holds for them as for any adapter.
    """

    adapter_layer_names: ClassVar[tuple[str, ...]] = ("pelt_norm",)

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.pelt_norm = nn.ModuleDict()

    def _make(self, adapter_name: str, config: PeltConfig, name: str, tuner: PeltModel) -> None:
        self.pelt_norm[adapter_name] = copy.deepcopy(self.get_base_layer()).requires_grad_(True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of x (..., width) the same shape and dtype."""
        tuned = self._own("pelt_norm")
        if not tuned:
            frozen: torch.Tensor = self.base_layer(x)
            return frozen
        norm = self.pelt_norm[tuned[0]]
        normed: torch.Tensor = norm(x.to(norm.weight.dtype))
        return normed.to(x.dtype)
