"""Attach: the method's modules onto the loaded model, and which parameters will be tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import Unsupported
from harness.methods.base import Attachment
from harness.models.dissect import anatomy_of
from harness.models.load import head_modules
from harness.models.sizes import count_parameters

if TYPE_CHECKING:
    from harness.runs.cell import Life


def size(life: Life) -> None:
    """Takes the model's anatomy and sizes the method to its budget; training rows are cut to what it leaves of the context."""
    assert life.head is not None, "load comes first"
    life.anatomy = anatomy_of(life.model, head_modules(life.model) if life.head.new else [])
    life.method, life.chosen = life.cell.config.method.solved(life.anatomy)
    if life.chosen is not None:
        life.result.notes.append(f"budget: {life.chosen}")
        reason = life.method.unsupported(life.facts, life.cell.config.scheme.while_tuning)
        if reason is not None:
            raise Unsupported(reason)


def run(life: Life) -> None:
    """Replaces the life's model by the one to be tuned, and counts its parameters."""
    from transformers import set_seed

    assert life.method is not None, "size comes first"
    attachment = attachment_of(life)
    before = count_parameters(life.model).total
    set_seed(attachment.seed)  # the method's initial weights do not depend on what ran before
    life.model = life.method.attach(life.model, attachment)
    life.result.parameters = count_parameters(life.model, added_to=before)
    if life.chosen is not None:
        life.result.parameters.chosen = {life.chosen.knob: life.chosen.size}


def attachment_of(life: Life) -> Attachment:
    """What a method is told about this cell, its model just loaded and nothing attached yet."""
    config = life.cell.config
    assert life.facts is not None, "load comes first"
    assert life.head is not None, "load comes first"
    assert life.anatomy is not None, "size comes first"
    return Attachment(
        model=life.facts,
        anatomy=life.anatomy,
        scheme=config.scheme.while_tuning,
        head=life.head.kind,
        steps=life.steps,
        gradient_checkpointing=config.train.gradient_checkpointing,
        seed=life.cell.labels.seed,
        notes=life.result.notes,
        tokenizer=life.tokenizer,
        label_words=config.task.label_words(),
    )
