"""Keys and values of our own in front of a sequence's, put there at the attention itself.

transformers' attention modules look the function that attends up by the name in their configuration. A module that
carries a prefix gets a copy of its configuration with a name of ours; the function behind it puts the prefix in front
and calls the one that the model had. The cache is filled before that call and never holds a prefix, positions do not
shift, and masks are made by the model's own configuration, which stays as it was.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.functional import pad
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

Attend: TypeAlias = Callable[..., tuple[torch.Tensor, torch.Tensor | None]]

MARK = "prefixed|"


@dataclass(frozen=True)
class Prefix:
    """What is put in front at one attention.

    keys, values: (batch or 1, key heads, length, head size). gate: (batch, queries, 1), how far each query lets the
    prefix in; None where it is open, or already in the keys and values.
    """

    keys: torch.Tensor
    values: torch.Tensor
    gate: torch.Tensor | None = None


def open_to_prefixes(attention: nn.Module) -> None:
    """Makes an attention module ask its child `pelt_prefix` for a Prefix.

    Raises ValueError where its attention does not go through transformers' interface, or by another implementation
    than sdpa and eager: the flash kernels take no mask in which a prefix could be seen by all.
    """
    config = getattr(attention, "config", None)
    implementation = str(getattr(config, "_attn_implementation", None))
    if implementation.startswith(MARK):
        return
    if not hasattr(sys.modules[type(attention).__module__], "eager_attention_forward"):
        raise ValueError(f"{type(attention).__name__} does not attend through transformers' attention interface")
    ours: Attend | None = {"sdpa": _attend_sdpa, "eager": _attend_eager}.get(implementation)
    if ours is None:
        raise ValueError(f"a prefix needs attn_implementation sdpa or eager, not {implementation}")
    if implementation == "eager" and getattr(config, "reorder_and_upcast_attn", False):
        raise ValueError("a prefix cannot be put before reorder_and_upcast_attn's own attention; take attn_implementation: sdpa")
    AttentionInterface.register(MARK + implementation, ours)
    own = copy.copy(config)
    own._attn_implementation = MARK + implementation  # type: ignore[union-attr]
    attention.config = own


def close_to_prefixes(attention: nn.Module) -> None:
    """Undoes `open_to_prefixes`."""
    attention.config._attn_implementation = attention.config._attn_implementation.removeprefix(MARK)


def _attend_eager(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor | None, **options: Any
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Through the eager function of the module's own family, which knows its soft caps and position biases."""
    attend: Attend = sys.modules[type(module).__module__].eager_attention_forward
    prefix: Prefix | None = module.pelt_prefix.before(key)
    if prefix is None:
        return attend(module, query, key, value, attention_mask, **options)
    return _attend(attend, prefix, module, query, key, value, attention_mask, **options)


def _attend_sdpa(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor | None, **options: Any
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Through sdpa, whose causal flag knows no columns that all may see: a mask takes the flag's place."""
    prefix: Prefix | None = module.pelt_prefix.before(key)
    if prefix is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    causal = options.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal  # sdpa_attention_forward's own rule
    queries = query.shape[2]
    if attention_mask is None and causal and queries > 1:
        attention_mask = torch.ones(queries, key.shape[2], dtype=torch.bool, device=key.device).tril()[None, None]
    return _attend(sdpa_attention_forward, prefix, module, query, key, value, attention_mask, **options)


def _attend(
    attend: Attend, prefix: Prefix, module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: torch.Tensor | None, **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
    """Attention over prefix and sequence; query, key and value are (batch, heads, tokens, head size)."""
    batch, length, size = key.shape[0], prefix.keys.shape[2], query.shape[-1]
    keys, values = (states.expand(batch, -1, -1, -1) for states in (prefix.keys, prefix.values))
    if attention_mask is not None:
        visible = True if attention_mask.dtype == torch.bool else 0.0
        attention_mask = pad(attention_mask, (length, 0), value=visible)
    if options.get("position_bias") is not None:
        options["position_bias"] = pad(options["position_bias"], (length, 0))
    if prefix.gate is None:
        return attend(module, query, torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2), attention_mask, **options)
    # Scores q.k of tokens and g q.p of the prefix, and sums of both kinds of values kept apart so that g can weigh one:
    # each has its own half of a head twice as wide, and the family's attention does the rest.
    if options.get("scaling") is None:
        options["scaling"] = size**-0.5
    query = torch.cat([query, query * prefix.gate[:, None]], dim=-1)
    key = torch.cat([pad(keys, (size, 0)), pad(key, (0, size))], dim=2)
    value = torch.cat([pad(values, (size, 0)), pad(value, (0, size))], dim=2)
    output, weights = attend(module, query, key, value, attention_mask, **options)
    return output[..., :size] + prefix.gate[:, :, None] * output[..., size:], weights
