"""Positions of a text that virtual tokens were put before: what a decoder must be told besides its embeddings.

PEFT drops position ids and leaves decoders to count from the first column. With padding that is wrong twice: padding
on the left stands between prompt and text and pushes the text away, and a classification head on a decoder, given
embeddings, reads the last column, which is padding where padding is on the right.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from harness.methods.base import Attachment

if TYPE_CHECKING:
    import torch


def read_positions_from_the_mask(wrapped: Any, attachment: Attachment) -> None:
    """Makes a decoder under a PeftModel count its positions over real tokens, and classify at the last of them.

    Encoders and encoder-decoders are left alone: their rows are padded on the right, behind all that counts.
    """
    if attachment.model.kind != "decoder":
        return
    base = wrapped.get_base_model()
    takes_positions = "position_ids" in inspect.signature(base.forward).parameters  # ALiBi counts over the mask itself
    classifies = attachment.head == "sequence-classification"

    def before_forward(module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        mask = named.get("attention_mask")
        if mask is None or mask.dim() != 2:
            return arguments, named
        if classifies:
            named = named | _padded_left(named["inputs_embeds"], mask)
        if takes_positions:
            named = named | {"position_ids": _positions(named)}
        return arguments, named

    base.register_forward_pre_hook(before_forward, with_kwargs=True)


def _padded_left(embeddings: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Rows with all their padding moved to the left, the order of the real tokens kept."""
    order = (mask > 0).long().argsort(dim=1, stable=True)
    return {
        "inputs_embeds": embeddings.gather(1, order[:, :, None].expand_as(embeddings)),
        "attention_mask": mask.gather(1, order),
    }


def _positions(named: dict[str, Any]) -> torch.Tensor:
    """Positions counted over real tokens, shape (rows, columns read now): fewer than the mask has where a cache holds the rest."""
    given = named["inputs_embeds"] if named.get("inputs_embeds") is not None else named["input_ids"]
    counted = (named["attention_mask"] > 0).long().cumsum(dim=1) - 1
    positions: torch.Tensor = counted.clamp(min=0)[:, -given.shape[1] :]
    return positions
