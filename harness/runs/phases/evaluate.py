"""Evaluate: the task's metrics of the model as it stands: before training, after it, merged, quantized again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.records.schema import When

if TYPE_CHECKING:
    from harness.runs.cell import Life


def reuse(life: Life) -> bool:
    """Takes the evaluation before training from another cell of this run, where one has made it.

    A cell that trains nothing never takes it: its evaluation is what it is there to measure.
    """
    if not life.cell.config.method.tunes:
        return False
    metrics = life.shared.read(life.cell.untuned_id)
    if metrics is None:
        return False
    life.result.metrics.extend(metrics)
    life.result.notes.append("the metrics before training are those of another cell of this run with the same model, scheme and task")
    return True


def run(life: Life, when: When) -> None:
    """Evaluates the model as it stands and keeps its metrics; those before training are left for other cells."""
    import torch

    life.model.eval()
    with torch.inference_mode():
        metrics = life.cell.config.task.evaluate(life.model, life.context())
    metrics = [metric.model_copy(update={"when": when}) for metric in metrics]
    life.result.metrics.extend(metrics)
    if when == "before":
        life.shared.write(life.cell.untuned_id, metrics)
