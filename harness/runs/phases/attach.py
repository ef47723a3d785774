"""Attach: the method's modules onto the loaded model, and which parameters will be tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.base import Attachment
from harness.models.sizes import count_parameters

if TYPE_CHECKING:
    from harness.runs.cell import Life


def run(life: Life) -> None:
    """Replaces the life's model by the one to be tuned and counts its parameters."""
    from transformers import set_seed

    config = life.cell.config
    assert life.facts is not None, "load comes first"
    assert life.head is not None, "load comes first"
    before = count_parameters(life.model).total
    set_seed(life.cell.labels.seed)  # the method's initial weights do not depend on what ran before
    life.model = config.method.attach(
        life.model,
        Attachment(
            model=life.facts,
            scheme=config.scheme,
            head=life.head.kind,
            steps=life.steps,
            gradient_checkpointing=config.train.gradient_checkpointing,
            seed=life.cell.labels.seed,
            notes=life.result.notes,
        ),
    )
    life.result.parameters = count_parameters(life.model, added_to=before)
