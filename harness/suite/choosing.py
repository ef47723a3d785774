"""How a checkpoint is chosen by dev rows, and why it cannot be. Asked by the plan and, again, by the cell."""

from __future__ import annotations

from harness.errors import nearest
from harness.suite.cell import CellConfig
from harness.tasks.base import Task

LOSS = "loss"


def choosing_metric(config: CellConfig) -> str:
    """The metric of the dev rows that says which state is best: the one asked for, else the task's first, else the loss."""
    return config.train.metric_for_best_model or (*config.task.dev_metrics(), LOSS)[0]


def unchoosable(config: CellConfig) -> str | None:
    """Why the training settings cannot choose as they are to, or None."""
    if not config.method.tunes:
        return None
    train, task = config.train, config.task
    asks = {
        "load_best_model_at_end": train.load_best_model_at_end,
        "early_stopping_patience": train.early_stopping_patience is not None,
    }
    asked = [name for name, given in asks.items() if given]
    if task.max_dev_samples is None:
        return f"train.{asked[0]} needs rows to choose by: give the task {task.task} max_dev_samples" if asked else None
    return _no_metric(train.metric_for_best_model, task)


def _no_metric(name: str | None, task: Task) -> str | None:
    known = [*task.dev_metrics(), LOSS]
    if name is None or name in known:
        return None
    guess = nearest(name, known)
    hint = f"; did you mean {guess}?" if guess else ""
    return f"train.metric_for_best_model: {task.task} has no {name} on dev rows, but {', '.join(known)}{hint}"
