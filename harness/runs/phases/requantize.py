"""Requantize: a merged model, its weights stored as the scheme says, as it would be served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.heads import tune_in_float32
from harness.quantization.base import StoredScheme
from harness.runs.phases import attach, load, quantize

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.quantization.cache import Quantized
    from harness.runs.cell import Life
    from harness.runs.phases.merge import Checkpoint


def run(life: Life, merged: Checkpoint) -> Quantized | None:
    """Replaces the life's model by the merged one under the cell's scheme. What a stored scheme has made of it is not kept."""
    scheme = life.cell.config.scheme
    quantized = None
    if isinstance(scheme, StoredScheme):
        quantized = quantize.uncached(life, scheme, merged.folder, merged.folder.parent / "quantized")
    config = life.cell.config.model.model_copy(update={"source": f"path:{merged.folder}", "revision": None})
    life.model = load.loaded(life, config, scheme, quantized)
    _keep_head(life, life.model, merged)
    return quantized


def _keep_head(life: Life, model: PreTrainedModel, merged: Checkpoint) -> None:
    """The tuned head as it was tuned: loading rounds what was tuned in float32 to the dtype of the base."""
    import torch

    attachment = attach.attachment_of(life)
    quantized = {layer.name for layer in life.cell.config.scheme.quantized_layers(model)}
    with torch.no_grad():
        for name, values in merged.head.items():
            if name.rpartition(".")[0] in quantized:  # asked for by the scheme's own fields
                continue
            if values.dtype == torch.float32:
                tune_in_float32(model.get_submodule(name.partition(".")[0]), attachment)
            model.get_parameter(name).copy_(values)
