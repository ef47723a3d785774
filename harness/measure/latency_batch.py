"""Speed of a model that classifies or scores: time per batch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from harness.measure.clock import percentiles
from harness.measure.latency import Repetitions, evaluating, milliseconds_since, random_ids
from harness.measure.torch_memory import synchronise
from harness.records.measured import BatchLatency

if TYPE_CHECKING:
    import torch


def batch_latency(model: Any, batch_size: int, tokens: int, repetitions: Repetitions, device: str, seed: int) -> BatchLatency:
    """One forward pass over `batch_size` rows of `tokens` tokens each, none of them padding.

    model: with a task head (classes, a score, a span's two ends), wrapped by PEFT or not, with positions for `tokens`.
    The ids are random, the same for the same seed, and every row ends as rows of its kind do. The device is
    synchronised before and after each pass; samples_per_second is over all timed passes.
    """
    import torch

    ids = _rows(model, batch_size, tokens, seed)
    mask = torch.ones_like(ids)
    batch_ms: list[float] = []
    with evaluating(model), torch.inference_mode():
        for repetition in range(repetitions.warmup + repetitions.timed):
            synchronise(device)
            before = time.perf_counter()
            model(input_ids=ids, attention_mask=mask)
            synchronise(device)
            if repetition >= repetitions.warmup:
                batch_ms.append(milliseconds_since(before))
    found = percentiles(batch_ms)
    assert found is not None, "at least one repetition is timed"
    return BatchLatency(
        batch_size=batch_size, tokens=tokens, batch_ms=found, repeats=repetitions.timed,
        samples_per_second=batch_size * repetitions.timed / (sum(batch_ms) / 1000),
    )  # fmt: skip


def _rows(model: Any, batch_size: int, tokens: int, seed: int) -> torch.Tensor:
    """Random ids without padding inside; one end-of-text token, the last: the heads of encoder-decoders read its state and want
    as many in every row."""
    ids = random_ids(model, batch_size, tokens, seed)
    special = {id_ for id_ in (model.config.pad_token_id, model.config.eos_token_id) if isinstance(id_, int)}
    ordinary = min(set(range(len(special) + 1)) - special)
    for id_ in special:
        ids[ids == id_] = ordinary
    if isinstance(model.config.eos_token_id, int):
        ids[:, -1] = model.config.eos_token_id
    return ids
