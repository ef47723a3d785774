"""UniPELT's gates (Mao et al. 2021, arXiv 2110.07577, section 3.2): how far a layer lets each of its tuned parts in.

The paper's gate is one number per layer, part and input, the mean of a sigmoid over the sequence. That mean is over real
tokens here, so that padding changes nothing. In a decoder a mean would carry later tokens into earlier ones and could
not be cached: every token has its own gate there.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch
from torch import nn

from harness.methods.tuners.config import PeltConfig
from harness.models.families import kind_of, stack_of

LAYER = re.compile(r".*?\.\d+(?=\.)")


class Padding:
    """Which tokens of an encoder layer's input are real: read off the mask that its attention is called with.

    The attention runs before all else in its layer, and again when the layer is recomputed for its gradients: hooks on
    the layer or the model are not, and would find the mask of a later pass there.
    """

    def __init__(self, attention: nn.Module) -> None:
        taken = list(inspect.signature(attention.forward).parameters)
        self._name = next(name for name in ("attention_mask", "mask") if name in taken)
        self._position = taken.index(self._name)
        self.real: torch.Tensor | None = None
        attention.register_forward_pre_hook(self._look, prepend=True, with_kwargs=True)  # before the gate of its prefix

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over the real tokens of (batch, tokens, 1): (batch, 1, 1)."""
        if self.real is None:
            return values.mean(dim=1, keepdim=True)
        weights = self.real[:, :, None].to(values.dtype)
        return (values * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)

    def _look(self, attention: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        """The mask is (batch, 1, queries, tokens), true or 0 where a query sees a token; None hides nothing."""
        mask = named.get(self._name, positional[self._position] if len(positional) > self._position else None)
        if mask is not None:
            seen = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
            mask = seen[:, 0].any(dim=1)
        self.real = mask


class Gate(nn.Module):
    """sigmoid(w h + b), of an input's mean over its real tokens, or of each token alone where `padding` is None.

    width: of the input h. Called with (batch, tokens, width), it gives (batch, 1 or tokens, 1) between 0 and 1.
    """

    def __init__(self, width: int, padding: Padding | None) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        self._padding = padding

    @property
    def by_sequence(self) -> bool:
        """Whether a sequence has one gate, not each token its own."""
        return self._padding is not None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The gate of that input, in the dtype of the gate's weights."""
        opening = torch.sigmoid(self.linear(hidden.to(self.linear.weight.dtype)))
        return opening if self._padding is None else self._padding.mean(opening)


def new_gate(width: int, config: PeltConfig, model: nn.Module, name: str) -> Gate:
    """The gate of a part on the module of that full name: by sequence in an encoder stack, by token in a decoder's."""
    kind = kind_of(model.config.model_type, [type(model).__name__], bool(model.config.is_encoder_decoder))
    return Gate(width, _padding(config, model, name) if stack_of(name, kind) == "encoder" else None)


def _padding(config: PeltConfig, model: nn.Module, name: str) -> Padding:
    """One object per layer, however many parts of the layer are gated. Raises ValueError for a layer without a prefix."""
    layer = LAYER.match(name)
    assert layer is not None, "parts are within layers"
    place = next((each for each in config.prefix_modules if each.startswith(f"{layer[0]}.")), None)
    if place is None:
        raise ValueError(f"gates in an encoder read its padding at the attention, and {layer[0]} has no prefix there")
    attention = model.get_submodule(place)
    if not hasattr(attention, "pelt_padding"):
        attention.pelt_padding = Padding(attention)
    padding: Padding = attention.pelt_padding
    return padding
