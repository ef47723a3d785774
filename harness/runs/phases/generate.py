"""Generate: how fast the model answers, at every batch size and length that the suite asks for."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from harness.errors import Unsupported
from harness.measure.latency import Repetitions, generation_latency
from harness.measure.latency_batch import batch_latency
from harness.records.parts import LatencyForm
from harness.suite.latency import untimeable

if TYPE_CHECKING:
    from harness.runs.cell import Life


def due(life: Life) -> bool:
    """Whether the suite asks for latencies. Raises Unsupported where the model has no room for them: before anything is trained."""
    if life.cell.config.measure.latency is None:
        return False
    reason = untimeable(life.cell.config, life.facts, life.chosen)
    if reason is not None:
        raise Unsupported(reason)
    return True


def base_due(life: Life) -> bool:
    """Whether the model is measured without its method too; where that was asked for and says nothing, a note tells why."""
    config = life.cell.config
    if config.measure.latency is None or not config.measure.latency.base:
        return False
    if config.scheme.after_tuning:
        life.result.notes.append("latency: no base, because the model is quantized after tuning only, and unquantized before that")
        return False
    return True


def run(life: Life, form: LatencyForm) -> None:
    """Appends one entry per batch size and length, of the model as it stands in that form: of generation, or of batches where it
    has a task head."""
    settings = life.cell.config.measure.latency
    assert settings is not None, "asked for"
    assert life.head is not None, "load comes first"
    seed, repetitions = life.cell.labels.seed, Repetitions(settings.repeats, settings.warmup_repeats)
    for batch_size, tokens in product(settings.batch_sizes, settings.prompt_lengths):
        if life.head.new:
            batches = batch_latency(life.model, batch_size, tokens, repetitions, life.device, seed)
            life.result.batch_latency.append(batches.model_copy(update={"form": form}))
        else:
            generation = generation_latency(life.model, batch_size, tokens, settings.new_tokens, repetitions, life.device, seed)
            life.result.latency.append(generation.model_copy(update={"form": form}))
