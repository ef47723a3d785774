"""Probe: instead of being trained to the end, the cell's method is tried out on its model, with a real batch of its task."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import Unsupported
from harness.methods.checks.training import STEPS
from harness.methods.trial import Trial
from harness.quantization.base import SCHEMES
from harness.runs.events import ResultSoFar
from harness.runs.phases import attach, load, train

if TYPE_CHECKING:
    import torch

    from harness.runs.cell import Life

UNQUANTIZED = "none"


def run(life: Life) -> None:
    """Fills the life's checks. What was found before a method breaks is reported: it tells where it broke.

    Raises Unsupported where the method cannot be attached, or has nothing to try, and whatever the method raises.
    """
    if not life.cell.config.method.tunes:
        raise Unsupported(f"{life.cell.config.method.method} tunes nothing: there is nothing to try out")
    attach.size(life)
    train.prepare(life)
    assert life.method is not None, "size sets it"
    scheme = life.cell.config.scheme
    plain = SCHEMES.get(UNQUANTIZED)(scheme=UNQUANTIZED)
    trial = Trial(
        method=life.method,
        load=lambda: load.base_model(life, scheme),
        attachment=replace(attach.attachment_of(life), steps=STEPS, gradient_checkpointing=False),
        batch=_batch(life),
        folder=life.folder / "adapter",
        reference=(lambda: load.base_model(life, plain)) if scheme.quantizes else None,
    )
    life.result.probe = trial.checks
    try:
        trial.run()
    finally:
        life.report(ResultSoFar(life.result))


def _batch(life: Life) -> dict[str, torch.Tensor]:
    """The first rows of the training set, as training would see them."""
    assert life.training_set is not None, "prepare comes first"
    rows = life.training_set.rows
    size = min(life.cell.config.train.per_device_train_batch_size, len(rows))
    batch = life.training_set.collator([rows[index] for index in range(size)])
    return {name: tensor.to(life.device) for name, tensor in batch.items()}
