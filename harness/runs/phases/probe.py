"""Probe: instead of being trained to the end, the cell's method is tried out on its model, with a real batch of its task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported
from harness.measure.clock import StepClock
from harness.methods.base import Attachment, Method
from harness.methods.checks.training import STEPS
from harness.methods.trial import Trial
from harness.quantization.base import SCHEMES
from harness.runs.events import ResultSoFar
from harness.runs.phases import attach, load, train
from harness.suite.settings import TrainSettings
from harness.tasks.base import TrainingSet

if TYPE_CHECKING:
    import torch

    from harness.runs.cell import Life

UNQUANTIZED = "none"
ACCUMULATED = 4  # enough that a loss which is summed over batches stands out from dropout


def run(life: Life) -> None:
    """Fills the life's checks. What was found before a method breaks is reported: it tells where it broke.

    Raises Unsupported where the method cannot be attached, or has nothing to try, and whatever the method raises.
    """
    if not life.cell.config.method.tunes:
        raise Unsupported(f"{life.cell.config.method.method} tunes nothing: there is nothing to try out")
    attach.size(life)
    train.prepare(life)
    assert life.method is not None, "size sets it"
    scheme = life.cell.config.scheme.while_tuning
    plain = SCHEMES.get(UNQUANTIZED)(scheme=UNQUANTIZED)
    attachment, batch = replace(attach.attachment_of(life), steps=STEPS, gradient_checkpointing=False), _batch(life)
    trial = Trial(
        method=life.method,
        load=lambda: load.base_model(life, scheme),
        attachment=attachment,
        batch=batch,
        folder=life.folder / "adapter",
        reference=(lambda: load.base_model(life, plain)) if scheme.quantizes else None,
        trainer=two_steps(life.method, batch, attachment, life.folder, life.device),
    )
    life.result.probe = trial.checks
    try:
        trial.run()
    finally:
        life.report(ResultSoFar(life.result))


def two_steps(method: Method, batch: dict[str, torch.Tensor], attachment: Attachment, folder: Path, device: str) -> Callable[[Any, float], float]:
    """For a trial: two steps of the Trainer that trains cells, each of ACCUMULATED batches that are all the one given."""

    def train(model: Any, learning_rate: float) -> float:
        from harness.runs.phases.trainer import MeasuredTrainer, Watch, training_arguments

        settings = TrainSettings(
            learning_rate=learning_rate, max_steps=2, gradient_accumulation_steps=ACCUMULATED, per_device_train_batch_size=1, logging_steps=1
        )
        rows = TrainingSet([{}] * (2 * ACCUMULATED), lambda _: {name: tensor.cpu() for name, tensor in batch.items()})
        watch = Watch(StepClock(device, 0), lambda done, total: None, folder / "trainer.jsonl")
        trainer = MeasuredTrainer(model, training_arguments(settings, attachment.seed, folder, device), rows, watch, method, attachment.head)
        trainer.train()
        first: float = trainer.state.log_history[0]["loss"]
        return first

    return train


def _batch(life: Life) -> dict[str, torch.Tensor]:
    """The first rows of the training set, as training would see them."""
    assert life.training_set is not None, "prepare comes first"
    rows = life.training_set.rows
    size = min(life.cell.config.train.per_device_train_batch_size, len(rows))
    batch = life.training_set.collator([rows[index] for index in range(size)])
    return {name: tensor.to(life.device) for name, tensor in batch.items()}
