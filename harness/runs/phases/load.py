"""Load: tokenizer, configuration and weights onto the device; bitsandbytes quantizes on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import Unsupported
from harness.models.load import load_facts, load_model, load_tokenizer
from harness.models.sizes import model_bytes
from harness.suite.compatibility import known_trouble

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.quantization.base import Scheme
    from harness.runs.cell import Life


def run(life: Life) -> None:
    """Fills the life's tokenizer, facts, head and model; raises Unsupported where they turn out not to fit."""
    config = life.cell.config
    life.tokenizer = load_tokenizer(config.model, life.cache)
    life.facts = load_facts(config.model, life.cache)
    _check(life)
    trouble = known_trouble(config, life.facts.model_type)
    if trouble is not None:
        life.result.notes.append(trouble)
    life.head = config.task.head(life.facts)
    life.model = base_model(life, config.scheme)
    life.result.sizes.model_bytes = model_bytes(life.model)
    if config.scheme.quantizes:
        life.result.notes.append(f"{config.scheme.scheme}: weights are quantized while loading, so load holds quantize's time and memory")


def base_model(life: Life, scheme: Scheme) -> PreTrainedModel:
    """The cell's model as it is loaded, its weights stored as `scheme` says: the same every time. Tokenizer and head are there."""
    from transformers import set_seed

    assert life.head is not None, "found out before"
    set_seed(life.cell.labels.seed)  # a new classification head is drawn from it
    model = load_model(life.cell.config.model, life.head, scheme, life.device, life.cache)
    if model.config.pad_token_id is None:  # classification on a decoder looks for the last token before the padding
        padding = life.tokenizer.pad_token_id
        model.config.pad_token_id = life.tokenizer.eos_token_id if padding is None else padding
    return model


def _check(life: Life) -> None:
    """What the plan could not know of a hub model that was not downloaded yet."""
    config, facts = life.cell.config, life.facts
    reason = (
        config.scheme.unsupported(facts)
        or config.method.unsupported(facts, config.scheme)
        or config.task.unsupported(facts, config.method.tunes)
    )
    if reason:
        raise Unsupported(reason)
