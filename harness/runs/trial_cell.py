"""A trial: a cell at a size of its own that trains a few steps and does nothing else, to see whether that fits."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from harness.suite.cell import Cell
from harness.suite.evaluations import Evaluations
from harness.suite.settings import MeasureSettings

ROWS_READ = 8  # of the task, repeated as often as a trial needs: memory asks for their length and kind, not for what they say
NOTHING_EVALUATED = Evaluations(own=False)


@dataclass(frozen=True)
class TrialCell(Cell):
    """row_length: tokens of every row. The batch size is that of config.train, whose max_length stays the cell's own: by that
    the task makes its rows, which are brought to row_length afterwards, so that no text is too short."""

    row_length: int = 1


def trial_of(cell: Cell, batch_size: int, max_length: int) -> TrialCell:
    """The trial of that cell at that size; measure.fit says how many steps.

    Gradients accumulate over two batches where the cell's do over more: then they are there beside the activations, as in the cell.
    """
    fit = cell.config.measure.fit
    assert fit is not None, "asked for"
    train = cell.config.train.model_copy(
        update={
            "per_device_train_batch_size": batch_size,
            "gradient_accumulation_steps": min(2, cell.config.train.gradient_accumulation_steps),
            "max_steps": fit.steps,
            "load_best_model_at_end": False,
            "early_stopping_patience": None,
        }
    )
    rows = min(ROWS_READ, cell.config.task.max_train_samples or ROWS_READ)
    task = cell.config.task.model_copy(update={"max_train_samples": rows, "max_dev_samples": None})
    measure = MeasureSettings(sample_ms=cell.config.measure.sample_ms)
    config = replace(cell.config, task=task, train=train, measure=measure, evaluations=NOTHING_EVALUATED)
    values = {field.name: getattr(cell, field.name) for field in fields(Cell)}
    identity = {"id": f"{cell.id}/fit/b{batch_size}-l{max_length}", "config": config, "untuned_ids": ()}
    return TrialCell(**(values | identity), row_length=max_length)
