"""Load: tokenizer, configuration and weights onto the device; schemes that store nothing quantize on the way."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from harness.errors import Unsupported
from harness.models.load import draw_again, load_facts, load_model, load_tokenizer
from harness.models.sizes import model_bytes
from harness.quantization.base import StoredScheme
from harness.records.schema import Quantization
from harness.runs.phases import quantize
from harness.suite.compatibility import known_trouble
from harness.tasks.batches import declare_padding

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.models.base import ModelConfig
    from harness.quantization.base import Scheme
    from harness.quantization.cache import Quantized
    from harness.runs.cell import Life


def describe(life: Life) -> None:
    """Fills the life's tokenizer, facts and head; raises Unsupported where they turn out not to fit."""
    config = life.cell.config
    life.tokenizer = load_tokenizer(config.model, life.cache)
    life.facts = load_facts(config.model, life.cache)
    _check(life)
    trouble = known_trouble(config, life.facts.model_type)
    if trouble is not None:
        life.result.notes.append(trouble)
    life.head = config.task.head(life.facts)


def weights(life: Life) -> None:
    """Fills the life's model, stored as it is while it is tuned, and how it is stored."""
    scheme = life.cell.config.scheme.while_tuning
    life.model = base_model(life, scheme)
    life.result.sizes.model_bytes = model_bytes(life.model)
    life.result.quantization = quantization_of(life.model, scheme, life.quantized)
    if scheme.quantizes and not isinstance(scheme, StoredScheme):
        life.result.notes.append(f"{scheme.scheme}: weights are quantized while loading, so load holds quantize's time and memory")
    caution = scheme.caution(life.device, life.model.dtype)
    if caution is not None:
        life.result.notes.append(caution)


def base_model(life: Life, scheme: Scheme) -> PreTrainedModel:
    """The cell's model as it is loaded, its weights stored as `scheme` says: the same every time. Tokenizer and head are there."""
    return loaded(life, life.cell.config.model, scheme, quantize.ready(life) if isinstance(scheme, StoredScheme) else None)


def loaded(life: Life, config: ModelConfig, scheme: Scheme, quantized: Quantized | None) -> PreTrainedModel:
    """That model for the cell's task, its weights stored as `scheme` says. quantized: what a stored scheme has made of it."""
    from transformers import set_seed

    assert life.head is not None, "found out before"
    if isinstance(scheme, StoredScheme) and quantized is not None:
        config = scheme.stored_model(config, quantized.weights)
    scheme = scheme.loaded_for(life.device, life.cell.config.method.tunes)
    set_seed(life.cell.labels.seed)  # a new classification head is drawn from it
    model = load_model(config, life.head, scheme, life.device, life.cache)
    if quantized is not None and quantized.drawn:  # a stored head would be that of the cell which has quantized, whatever its seed
        set_seed(life.cell.labels.seed)
        draw_again(model, quantized.drawn)
    if isinstance(scheme, StoredScheme) and quantized is not None:
        scheme.restore(model, quantized.weights)
    padding = life.tokenizer.eos_token_id if life.tokenizer.pad_token_id is None else life.tokenizer.pad_token_id
    if padding is not None and (model.config.pad_token_id is None or life.head.kind == "sequence-classification"):
        declare_padding(model, padding)
    return model


def quantization_of(model: PreTrainedModel, scheme: Scheme, quantized: Quantized | None) -> Quantization | None:
    """How a loaded model's weights are stored, and what that took; None where none are quantized."""
    layers = list(scheme.quantized_layers(model))
    if not layers:
        return None
    weights, stored = sum(layer.weights for layer in layers), sum(layer.bytes for layer in layers)
    return Quantization(
        layers=len(layers),
        weights=weights,
        bytes=stored,
        bits_per_weight=8 * stored / weights,
        kernels=dict(Counter(layer.kernel for layer in layers)),
        calibration=None if quantized is None else quantized.calibration,
        cost=None if quantized is None else quantized.cost,
    )


def _check(life: Life) -> None:
    """What the plan could not know of a hub model that was not downloaded yet."""
    config, facts = life.cell.config, life.facts
    reason = (
        config.scheme.unsupported(facts)
        or config.method.unsupported(facts, config.scheme.while_tuning)
        or config.task.unsupported(facts, config.method.tunes)
    )
    if reason:
        raise Unsupported(reason)
