"""How many tokens a training batch holds: the real ones, and those computed, its padding included.

A token counts once for every stack that reads it. Decoders and encoders read the input. An encoder-decoder's encoder reads
the input and its decoder the target text (the labels); where it classifies or marks spans, its decoder reads the input again.
What a method puts before a text (virtual tokens, prefixes) is no token of the text and is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.tasks.base import IGNORED_LABEL

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BatchShape:
    """The shape of a padded batch. source: tokens of a row that the first stack reads; target: those that the decoder of an
    encoder-decoder reads, 0 for all other models."""

    rows: int
    source: int
    target: int = 0

    @property
    def tokens(self) -> int:
        """Tokens computed, padding included."""
        return self.rows * (self.source + self.target)


def batch_shape(batch: dict[str, Any], encoder_decoder: bool) -> BatchShape:
    """The batch's shape, which the host knows without asking the device; see harness.tasks.base.TrainingSet for its tensors."""
    rows, source = batch["attention_mask"].shape
    if not encoder_decoder:
        return BatchShape(rows, source)
    target = batch["labels"].shape[1] if _has_target_text(batch) else source
    return BatchShape(rows, source, target)


def real_tokens(batch: dict[str, Any], encoder_decoder: bool) -> torch.Tensor:
    """The tokens that are no padding, a scalar on the batch's device: reading it would make the host wait."""
    source = batch["attention_mask"].sum()
    if not encoder_decoder:
        return source
    return source + ((batch["labels"] != IGNORED_LABEL).sum() if _has_target_text(batch) else source)


def _has_target_text(batch: dict[str, Any]) -> bool:
    labels = batch.get("labels")
    return labels is not None and labels.dim() == 2
