"""Adapters on a module's output: sequential, or parallel to the block that the module ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from harness.methods.tuners.bottleneck import Bottleneck
from harness.methods.tuners.config import PeltConfig
from harness.methods.tuners.gates import new_gate
from harness.methods.tuners.layer import PeltLayer

if TYPE_CHECKING:
    from harness.methods.tuners.model import PeltModel


@dataclass
class Wire:
    """Carries a block's input to the adapter at its end, within one forward pass."""

    value: torch.Tensor | None = None

    def take(self) -> torch.Tensor:
        """The input; the wire keeps it no longer, so that it lives only as long as the block runs."""
        assert self.value is not None, "the block's first matrix runs before its last"
        value, self.value = self.value, None
        return value


class AdapterLayer(PeltLayer):
    """y + adapter(y), or y + adapter(x) with x the input of the block that y comes out of.

    With gates the adapter's change is multiplied by a gate of the adapter's input.
    """

    adapter_layer_names: ClassVar[tuple[str, ...]] = ("pelt_adapter", "pelt_gate")
    other_param_names: ClassVar[tuple[str, ...]] = ("pelt_wires",)

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.pelt_adapter = nn.ModuleDict()
        self.pelt_gate = nn.ModuleDict()
        self.pelt_wires: dict[str, Wire] = {}

    def _make(self, adapter_name: str, config: PeltConfig, name: str, tuner: PeltModel) -> None:
        inputs = outputs = widths(self.get_base_layer())[1]
        if name in config.input_of:
            reads = config.input_of[name]
            self.pelt_wires[adapter_name] = tuner.wire(adapter_name, reads)
            inputs = widths(tuner.wrapped(reads))[0]
        self.pelt_adapter[adapter_name] = Bottleneck(inputs, outputs, config, tuner.rule(adapter_name, config))
        if config.gates:
            self.pelt_gate[adapter_name] = new_gate(inputs, config, tuner.model, name)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The wrapped module's output, changed by every active adapter, in its own dtype."""
        y: torch.Tensor = self.base_layer(x, *args, **kwargs)
        for name in self._own("pelt_adapter"):
            source = self.pelt_wires[name].take() if name in self.pelt_wires else y
            change = self.pelt_adapter[name](source)
            if name in self.pelt_gate:
                change = self.pelt_gate[name](source) * change
            y = y + change.to(y.dtype)
        return y


class InputTap(PeltLayer):
    """The first matrix of a block: what goes into it is what the block's parallel adapter reads."""

    other_param_names: ClassVar[tuple[str, ...]] = ("pelt_wires",)

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.pelt_wires: dict[str, Wire] = {}

    def _make(self, adapter_name: str, config: PeltConfig, name: str, tuner: PeltModel) -> None:
        self.pelt_wires[adapter_name] = tuner.wire(adapter_name, name)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """The wrapped module's output, unchanged."""
        for name in self._own("pelt_wires"):
            self.pelt_wires[name].value = x
        return self.base_layer(x, *args, **kwargs)


def widths(matrix: nn.Module) -> tuple[int, int]:
    """in_features and out_features of any linear, quantized or not, and of GPT-2's Conv1D.

    Raises ValueError for a module that says neither.
    """
    for inputs, outputs in (("in_features", "out_features"), ("nx", "nf"), ("infeatures", "outfeatures")):
        if hasattr(matrix, inputs) and hasattr(matrix, outputs):
            return getattr(matrix, inputs), getattr(matrix, outputs)
    raise ValueError(f"{type(matrix).__name__} says neither in_features nor out_features: no adapter fits it")
