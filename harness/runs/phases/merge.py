"""Merge: what was tuned, folded into the base's weights, and kept on the run's disk for as long as it takes to quantize it."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.models.load import head_modules
from harness.models.sizes import model_bytes
from harness.quantization.base import SCHEMES
from harness.records.refusals import disk_refusals_told
from harness.runs.phases import attach, load

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from harness.runs.cell import Life

UNQUANTIZED = "none"


@dataclass(frozen=True)
class Checkpoint:
    """A merged model on disk, its tokenizer with it. head: the tuned task head's parameters by name, on the CPU; empty for a language model."""

    folder: Path
    head: dict[str, torch.Tensor]


def release(life: Life) -> None:
    """Frees the life's model, so that the next phase's memory is that of what it loads alone. Called between phases."""
    life.model = None
    gc.collect()  # a Trainer and the model that it trained refer to each other


def run(life: Life) -> None:
    """Replaces the tuned model by the one without the method, its weights unquantized and what was tuned merged into them.

    Weights that are unquantized already are merged where they are. Over quantized ones the life's model has been released:
    the base is loaded again, dequantized, and given what was saved. Raises Unsupported where the method or the scheme cannot.
    """
    assert life.method is not None, "attach comes first"
    scheme = life.cell.config.scheme.while_tuning
    tuned = life.model
    if needs_reloading(life):
        base = scheme.dequantized(load.base_model(life, scheme))
        plain = SCHEMES.get(UNQUANTIZED)(scheme=UNQUANTIZED)
        tuned = life.method.reload(base, life.folder / "adapter", replace(attach.attachment_of(life), scheme=plain))
    life.model = life.method.merged(tuned)
    life.result.sizes.merged_bytes = model_bytes(life.model)


def needs_reloading(life: Life) -> bool:
    """Whether weights were quantized while they were tuned, so that what was tuned is merged into another model's."""
    return not life.cell.config.scheme.while_tuning.tunable_weights


@contextmanager
def scratch(life: Life) -> Iterator[Path]:
    """A folder on the run's disk that is gone afterwards, whatever happens in between; of a cell that is killed, its parent removes it."""
    with disk_refusals_told("the merged model", life.folder):
        folder = tempfile.TemporaryDirectory(prefix=".merged-", suffix=".tmp", dir=life.folder)
    with folder as name:
        yield Path(name)


def save(life: Life, folder: Path) -> Checkpoint:
    """Writes the merged model and the tokenizer to `folder`, which is made; raises StorageError when the disk refuses."""
    with disk_refusals_told("the merged model", folder):
        life.model.save_pretrained(folder)
        life.tokenizer.save_pretrained(folder)
    return Checkpoint(folder, _head(life, life.model))


def _head(life: Life, model: PreTrainedModel) -> dict[str, torch.Tensor]:
    assert life.head is not None, "load comes first"
    names = head_modules(model) if life.head.new else []
    return {
        f"{name}.{parameter}": values.detach().cpu()
        for name in names
        for parameter, values in model.get_submodule(name).named_parameters()
    }
