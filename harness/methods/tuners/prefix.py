"""Prefixes: keys and values in front of those of every layer's attention (Li & Liang 2021, arXiv 2101.00190)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from harness.methods.tuners.attention import Prefix, close_to_prefixes, open_to_prefixes
from harness.methods.tuners.config import PeltConfig
from harness.methods.tuners.gates import new_gate
from harness.methods.tuners.layer import PartLayer
from harness.models.families import is_cross_attention, kind_of, stack_of

if TYPE_CHECKING:
    from harness.methods.tuners.model import PeltModel


class Rows(nn.Module):
    """A table (length, width), drawn from a normal of mean 0."""

    def __init__(self, length: int, width: int, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, width).normal_(std=std))

    def forward(self) -> torch.Tensor:
        """The table."""
        return self.weight


class Trunk(nn.Module):
    """What the prefixes of all layers of one stack share: an embedding of the positions, and the MLP's first half.

    Li & Liang's MLP maps a position's embedding to the keys and values of all layers at once; each attention
    holds the rows of its second matrix that are for itself.
    """

    def __init__(self, hidden_size: int, config: PeltConfig) -> None:
        super().__init__()
        assert config.prefix_hidden is not None, "a prefix without an MLP has no trunk"
        self.rows = Rows(config.prefix_length, hidden_size, config.prefix_std)
        self.linear = nn.Linear(hidden_size, config.prefix_hidden)

    def forward(self) -> torch.Tensor:
        """(length, prefix_hidden)"""
        return torch.tanh(self.linear(self.rows()))


class PrefixLayer(PartLayer):
    """The prefixes of one attention module, by adapter name. It is the module's child `pelt_prefix`, not its wrapper.

    group: the attentions that share a trunk. The first of them holds it, the others know the first.
    """

    adapter_layer_names: ClassVar[tuple[str, ...]] = ("pelt_rows", "pelt_trunk", "pelt_output", "pelt_dropout", "pelt_gate")

    def __init__(self, attention: nn.Module, group: str, first: PrefixLayer | None) -> None:
        super().__init__()
        self.group = group
        self._attention = (attention,)  # in a tuple, so that it is no child of this module
        self._first = (first or self,)
        self._opening: torch.Tensor | None = None
        self.pelt_rows = nn.ModuleDict()
        self.pelt_trunk = nn.ModuleDict()
        self.pelt_output = nn.ModuleDict()
        self.pelt_dropout = nn.ModuleDict()
        self.pelt_gate = nn.ModuleDict()
        attention.register_forward_pre_hook(self._listen, with_kwargs=True)

    def _make(self, adapter_name: str, config: PeltConfig, name: str, tuner: PeltModel) -> None:
        hidden_size, width = tuner.model.config.hidden_size, config.prefix_width_of[name]
        if config.prefix_hidden is None:
            self.pelt_rows[adapter_name] = Rows(config.prefix_length, 2 * width, config.prefix_std)
        else:
            if self._first[0] is self:
                self.pelt_trunk[adapter_name] = Trunk(hidden_size, config)
            self.pelt_output[adapter_name] = nn.Linear(config.prefix_hidden, 2 * width)
        self.pelt_dropout[adapter_name] = nn.Dropout(config.prefix_dropout)
        if config.gates:
            self.pelt_gate[adapter_name] = new_gate(hidden_size, config, tuner.model, name)

    def _place(self, adapter_name: str) -> None:
        self._move_adapter_to_device_of_base_layer(adapter_name, next(self._attention[0].parameters()).device)

    def get_base_layer(self) -> nn.Module:
        """The attention module that the prefixes belong to."""
        return self._attention[0]

    def remove(self) -> None:
        """Takes the prefixes out of their attention module, which then attends as it did without them."""
        self.enable_adapters(False)  # the hook stays, and finds nothing to do
        close_to_prefixes(self._attention[0])
        del self._attention[0].pelt_prefix

    def before(self, key: torch.Tensor) -> Prefix | None:
        """What goes before keys (batch, key heads, tokens, head size), in their dtype; None while prefixes are off."""
        name = self._active()
        if name is None:
            return None
        table = self.pelt_rows[name]() if name in self.pelt_rows else self.pelt_output[name](self._first[0].pelt_trunk[name]())
        heads, size = key.shape[1], key.shape[3]
        states = self.pelt_dropout[name](table).to(key.dtype).view(len(table), 2, heads, size)
        keys, values = states.permute(1, 2, 0, 3)[:, None]
        gate, self._opening = self._opening, None
        if gate is None:
            return Prefix(keys, values)
        gate = gate.to(key.dtype)
        by_sequence = self.pelt_gate[name].by_sequence
        return Prefix(keys * gate[:, None], values * gate[:, None]) if by_sequence else Prefix(keys, values, gate)

    def _listen(self, attention: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        """The gate reads what the attention reads, before its projections."""
        name = self._active()
        if name in self.pelt_gate:
            self._opening = self.pelt_gate[name](named["hidden_states"] if "hidden_states" in named else positional[0])

    def _active(self) -> str | None:
        """The active adapter with a prefix here, None while prefixes are off. Raises ValueError where there are several."""
        active = self._own("pelt_dropout")
        if len(active) > 1:
            raise ValueError(f"an attention takes one prefix at a time, not those of {' and '.join(active)}")
        return active[0] if active else None


def prefix_layer(attention: nn.Module, name: str, model: nn.Module) -> PrefixLayer:
    """The layer of prefixes at the attention module of that full name, put there if it is not yet.

    Raises ValueError where the attention cannot be given a prefix.
    """
    if not hasattr(attention, "pelt_prefix"):
        open_to_prefixes(attention)
        config = model.config
        kind = kind_of(config.model_type, [type(model).__name__], bool(config.is_encoder_decoder))
        group = "cross" if is_cross_attention(name) else stack_of(name, kind)
        others = (module for module in model.modules() if isinstance(module, PrefixLayer) and module.group == group)
        attention.pelt_prefix = PrefixLayer(attention, group, next(others, None))
    layer: PrefixLayer = attention.pelt_prefix
    return layer
