"""Keys and values of a beginning, computed once and gone on from by many rows.

What follows a beginning cannot change the keys and values of a causal decoder's cache, so the rows' scores are those of whole
passes, to rounding. Rows are padded on the right, so that between beginning and rest there is no hole, and positions, which
every architecture counts on from the cache's length, are right without being told.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.tasks.batches import accepted

if TYPE_CHECKING:
    import torch

    from harness.tasks.statistics import Array


def why_not(model: Any) -> str | None:
    """Why no row can go on from kept keys and values of this model, or None; models that turn out not to are told by `KeptKeys`."""
    if any(config.is_prompt_learning for config in getattr(model, "peft_config", {}).values()):
        return "virtual tokens stand before the text"
    if not (accepted(model, "past_key_values") and accepted(model, "use_cache")):
        return "the model takes no keys and values back"
    return None


class KeptKeys:
    """The cache of one beginning, computed when it is first asked for. Raises NotKept where the model's cache is no plain one."""

    def __init__(self, model: Any, tokens: Array) -> None:
        import torch

        ids = torch.as_tensor(tokens, dtype=torch.long, device=model.device)[None]
        last = {"logits_to_keep": 1} if accepted(model, "logits_to_keep") else {}
        self.length = len(tokens)
        self._cache = _plain(model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, **last).past_key_values)

    def continued(self, rows: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """A forward pass's arguments for right-padded rows that follow the beginning: their own, with the mask over the
        beginning too and a copy of the cache for each row."""
        import torch

        count = len(rows["input_ids"])
        seen = torch.ones((count, self.length), dtype=rows["attention_mask"].dtype, device=rows["attention_mask"].device)
        cache = copy.copy(self._cache)
        cache.layers = [_for_rows(layer, count) for layer in self._cache.layers]
        return {**rows, "attention_mask": torch.cat([seen, rows["attention_mask"]], dim=1), "past_key_values": cache, "use_cache": True}


class NotKept(Exception):
    """The model's cache holds more than keys and values by position; the message says what."""


def _plain(cache: Any) -> Any:
    """The cache itself, where it is one of keys and values that grow, with or without a sliding window."""
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    if type(cache) is not DynamicCache:
        raise NotKept(f"the model's cache is a {type(cache).__name__}")
    for layer in cache.layers:
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            raise NotKept(f"the model's cache has a {type(layer).__name__}")
    return cache


def _for_rows(layer: Any, rows: int) -> Any:
    """A layer of the cache for each of `rows`: a view, since growing it makes new tensors anyway."""
    fresh = copy.copy(layer)
    if layer.is_initialized:
        fresh.keys = layer.keys.expand(rows, -1, -1, -1)
        fresh.values = layer.values.expand(rows, -1, -1, -1)
    return fresh
