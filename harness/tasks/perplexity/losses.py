"""Windows through a model: the negative log-likelihood of what each scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.tasks.base import TaskContext
from harness.tasks.batches import PaddingCollator, in_batches, refuse_non_finite
from harness.tasks.perplexity.windows import Window

if TYPE_CHECKING:
    import torch

    from harness.tasks.statistics import Array

_POSITIONS_AT_ONCE = 512  # of one window turned into fp32: bounds the memory that the loss takes


def summed_losses(model: Any, windows: Sequence[Window], context: TaskContext) -> list[float]:
    """Negative log-likelihood (nats, softmax in fp32) of the scored tokens of each window, summed, given all before them in it.

    Windows that read the same are read once, however much each scores. Raises harness.errors.Diverged when a loss is not finite.
    """
    places: dict[tuple[bytes, bytes], int] = {}
    at = [places.setdefault((window.inputs.tobytes(), window.nexts.tobytes()), len(places)) for window in windows]
    read: list[Window | None] = [None] * len(places)
    for place, window in zip(at, windows, strict=True):
        other = read[place]
        if other is None or other.scored < window.scored:
            read[place] = window
    losses = token_losses(model, [window for window in read if window is not None], context)
    return [float(losses[place][len(losses[place]) - window.scored :].sum()) for place, window in zip(at, windows, strict=True)]


def token_losses(model: Any, windows: Sequence[Window], context: TaskContext) -> list[Array]:
    """Negative log-likelihood of every scored token: an array of shape (scored,) and float64 for each window."""
    import torch

    # Nothing looks at padding (it stands on the right of what a causal model reads), so that any token will do.
    collator = PaddingCollator(pad_token_id=0)
    losses: list[Any] = [None] * len(windows)

    def evaluate(indices: list[int]) -> None:
        batch = collator([{"input_ids": windows[index].inputs} for index in indices])
        ids, mask = batch["input_ids"].to(model.device), batch["attention_mask"].to(model.device)
        # Prompt methods prepend virtual tokens, whose positions have outputs too: the text's are the last ones.
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, -ids.shape[1] :]
        for outputs, index in zip(logits, indices, strict=True):
            window = windows[index]
            scored = slice(len(window.nexts) - window.scored, len(window.nexts))
            targets = torch.as_tensor(window.nexts[scored], dtype=torch.long, device=outputs.device)
            losses[index] = _cross_entropy(outputs[scored], targets)

    in_batches([len(window.inputs) for window in windows], context, evaluate)
    return losses


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> Array:
    """logits: (tokens, vocabulary), targets: (tokens,) of one window."""
    import torch

    parts = [
        torch.nn.functional.cross_entropy(logits[start : start + _POSITIONS_AT_ONCE].float(), targets[start : start + _POSITIONS_AT_ONCE], reduction="none")
        for start in range(0, len(targets), _POSITIONS_AT_ONCE)
    ]
    losses = torch.cat(parts)
    refuse_non_finite(losses)
    return losses.double().cpu().numpy()
