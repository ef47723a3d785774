"""Load: tokenizer, configuration and weights onto the device; bitsandbytes quantizes on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import Unsupported
from harness.models.load import load_facts, load_model, load_tokenizer
from harness.models.sizes import model_bytes

if TYPE_CHECKING:
    from harness.runs.cell import Life


def run(life: Life) -> None:
    """Fills the life's tokenizer, facts, head and model; raises Unsupported where they turn out not to fit."""
    from transformers import set_seed

    config = life.cell.config
    set_seed(life.cell.labels.seed)  # a new classification head is drawn from it
    life.tokenizer = load_tokenizer(config.model, life.cache)
    life.facts = load_facts(config.model, life.cache)
    _check(life)
    life.head = config.task.head(life.facts)
    life.model = load_model(config.model, life.head, config.scheme, life.device, life.cache)
    if life.model.config.pad_token_id is None:  # classification on a decoder looks for the last token before the padding
        padding = life.tokenizer.pad_token_id
        life.model.config.pad_token_id = life.tokenizer.eos_token_id if padding is None else padding
    life.result.sizes.model_bytes = model_bytes(life.model)
    if config.scheme.quantizes:
        life.result.notes.append(f"{config.scheme.scheme}: weights are quantized while loading, so load holds quantize's time and memory")


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
