"""Evaluate: the metrics of the model as it stands: before training, after it, merged, quantized again."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from harness.records.parts import When
from harness.records.schema import Metric
from harness.records.sealed import Damaged
from harness.runs.cache import SharedEvaluation
from harness.tasks.base import Task, TaskContext

if TYPE_CHECKING:
    from harness.runs.cell import Life

Evaluated: TypeAlias = tuple[str | None, Task]  # label (None: the cell's own task) and task


def reuse(life: Life) -> list[Evaluated]:
    """Takes evaluations before training from other cells of this run, where they have made them; the others are left to do.

    A cell that trains nothing never takes one: its evaluations are what it is there to measure.
    """
    config = life.cell.config
    if not config.method.tunes:
        return config.evaluated
    due: list[Evaluated] = []
    for id_, (label, task) in zip(life.cell.untuned_ids, config.evaluated, strict=True):
        try:
            shared = life.shared.read(id_)
        except Damaged as damage:
            life.result.notes.append(f"the shared evaluation of the untuned model was damaged ({damage}) and was made anew")
            shared = None
        if shared is None:
            due.append((label, task))
            continue
        life.result.metrics.extend(metric.model_copy(update={"task": label}) for metric in shared.metrics)
        life.result.notes += [note for note in shared.notes if note not in life.result.notes]
        life.result.notes.append(
            f"the metrics {f'on {label} ' if label else ''}before training are those of another cell of this run with the same model, scheme and task"
        )
    return due


def run(life: Life, when: When, due: list[Evaluated] | None = None) -> None:
    """Evaluates the model as it stands and keeps its metrics; those before training are left for other cells.

    due: what to evaluate; None: all that the cell evaluates.
    """
    evaluated = life.cell.config.evaluated
    for label, task in evaluated if due is None else due:
        said = len(life.result.notes)
        metrics = [metric.model_copy(update={"when": when, "task": label}) for metric in metrics_of(life, task, life.context(tuned=when != "before"))]
        life.result.metrics.extend(metrics)
        if when == "before":
            shared = SharedEvaluation(metrics=metrics, notes=life.result.notes[said:])
            life.shared.write(life.cell.untuned_ids[evaluated.index((label, task))], shared)


def metrics_of(life: Life, task: Task, context: TaskContext | None = None) -> list[Metric]:
    """The task's metrics of the life's model as it stands. context: None for that of the tuned model."""
    import torch

    life.model.eval()
    with torch.inference_mode():
        return task.evaluate(life.model, context or life.context())
