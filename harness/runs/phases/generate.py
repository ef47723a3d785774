"""Generate: how fast the model produces tokens, at every batch size that the suite asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import Unsupported
from harness.measure.latency import generation_latency
from harness.records.parts import Form

if TYPE_CHECKING:
    from harness.runs.cell import Life


def run(life: Life, form: Form = "unmerged") -> None:
    """Appends one latency entry per batch size, of the model as it stands in that form; a model with a new task head generates nothing, and a note says so."""
    settings = life.cell.config.measure.latency
    assert settings is not None, "asked for"
    assert life.head is not None, "load comes first"
    assert life.facts is not None, "load comes first"
    if life.head.new:
        life.result.notes.append(f"latency: a model with the head {life.head.kind} generates no tokens")
        return
    parts = (settings.prompt_tokens, settings.new_tokens)
    length = max(parts) if life.facts.kind == "encoder-decoder" else sum(parts)
    if life.facts.context is not None and length > life.facts.context:
        raise Unsupported(f"measure.latency asks for {length} tokens at once; the model's context is {life.facts.context}")
    life.model.eval()
    for batch_size in settings.batch_sizes:
        latency = generation_latency(
            life.model,
            batch_size=batch_size,
            prompt_tokens=settings.prompt_tokens,
            new_tokens=settings.new_tokens,
            repeats=settings.repeats,
            device=life.device,
            seed=life.cell.labels.seed,
        )
        life.result.latency.append(latency.model_copy(update={"form": form}))
