"""LoRA whose update can be gated by its input, which PEFT's own cannot (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from harness.methods.tuners.adapter import widths
from harness.methods.tuners.config import PeltConfig
from harness.methods.tuners.gates import new_gate
from harness.methods.tuners.layer import PeltLayer

if TYPE_CHECKING:
    from harness.methods.tuners.model import PeltModel


class LowRank(nn.Module):
    """(alpha / r) B A x, of x (..., inputs), as (..., outputs), in the dtype of its own weights; zero when it is new."""

    def __init__(self, inputs: int, outputs: int, config: PeltConfig) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(inputs, config.lora_r, bias=False), nn.Linear(config.lora_r, outputs, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)
        self.dropout = nn.Dropout(config.lora_dropout)
        self.scale = config.lora_alpha / config.lora_r

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The change of an output."""
        update: torch.Tensor = self.up(self.down(self.dropout(x.to(self.down.weight.dtype))))
        return self.scale * update


class LowRankLayer(PeltLayer):
    """W x + g(x) (alpha / r) B A x, where g is 1 without gates."""

    adapter_layer_names: ClassVar[tuple[str, ...]] = ("pelt_low_rank", "pelt_gate")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.pelt_low_rank = nn.ModuleDict()
        self.pelt_gate = nn.ModuleDict()

    def _make(self, adapter_name: str, config: PeltConfig, name: str, tuner: PeltModel) -> None:
        inputs, outputs = widths(self.get_base_layer())
        self.pelt_low_rank[adapter_name] = LowRank(inputs, outputs, config)
        if config.gates:
            self.pelt_gate[adapter_name] = new_gate(inputs, config, tuner.model, name)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The wrapped module's output, changed by every active adapter, in its own dtype."""
        y: torch.Tensor = self.base_layer(x, *args, **kwargs)
        for name in self._own("pelt_low_rank"):
            update = self.pelt_low_rank[name](x)
            if name in self.pelt_gate:
                update = self.pelt_gate[name](x) * update
            y = y + update.to(y.dtype)
        return y
