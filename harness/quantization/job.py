"""What a scheme is told when it is to quantize a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.needs import ModelFacts

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class QuantizationJob:
    """One model to be quantized.

    source, revision: what from_pretrained takes: a folder or a hub name. facts: the model's. dtype: of the weights that stay as they are. device: `cpu` or
    `cuda`. samples: token ids of every calibration sample, each of shape (tokens,) and of at most the length asked for; empty
    without calibration. load: the unquantized model with the task's head on the device, in eval mode. folder: empty, on the disk that keeps the
    result. notes: append what the record must tell.
    """

    source: str
    revision: str | None
    facts: ModelFacts
    dtype: torch.dtype
    device: str
    trust_remote_code: bool
    tokenizer: PreTrainedTokenizerBase
    samples: Sequence[torch.Tensor]
    seed: int
    load: Callable[[], PreTrainedModel]
    folder: Path
    notes: list[str]
