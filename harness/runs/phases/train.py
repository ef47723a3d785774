"""Train: transformers' Trainer on the task's training rows, its steps timed and its tokens counted."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.measure.clock import StepClock
from harness.records.measured import Training
from harness.records.refusals import disk_refusals_told
from harness.runs.phases import early_stopping, throughput
from harness.runs.phases.early_stopping import DevCourse
from harness.suite.settings import TrainSettings
from harness.tasks.base import TrainingSet

if TYPE_CHECKING:
    from harness.runs.cell import Life
    from harness.runs.phases.forms import Phase


def prepare(life: Life) -> None:
    """Reads and tokenizes the training rows, so that the number of steps is known before the method is attached."""
    assert life.method is not None, "size comes first"
    life.training_set = life.cell.config.task.training_set(replace(life.context(), choices=life.method.wants_choices))
    life.steps = optimizer_steps(life.cell.config.train, life.training_set)
    early_stopping.prepare(life)
    _look_for_leakage(life)


def _look_for_leakage(life: Life) -> None:
    """Tells the record which rows evaluated are also trained on; raises DataError where the task refuses that."""
    task, context = life.cell.config.task, life.context()
    for _, evaluated in life.cell.config.evaluated:
        evaluated.look_at_evaluation_rows(context)
    life.result.data = life.used.uses()
    for use in life.result.data:
        if use.trained_on_normalised:
            rows = "dev rows" if use.role == "dev" else "rows"
            found = f"{use.trained_on_normalised:,} of the {use.rows:,} {rows} of {use.task}, split {use.split}, ask what a row trained on asks ({use.trained_on:,} to the letter)"
            if task.leakage == "refuse" and use.role == "evaluation":
                raise DataError(f"leakage: {found}; take them out of either, or set leakage: report")
            context.note(f"leakage: {found}")


def optimizer_steps(train: TrainSettings, training_set: TrainingSet) -> int:
    """Optimizer steps that training will take: max_steps, or epochs over the rows as the Trainer rounds them."""
    if train.max_steps > 0:
        return train.max_steps
    whole = (train.model_extra or {}).get("dataloader_drop_last", False)
    batches = (math.floor if whole else math.ceil)(len(training_set.rows) / train.per_device_train_batch_size)
    per_epoch = max(math.ceil(batches / train.gradient_accumulation_steps), 1)
    return math.ceil(train.num_train_epochs * per_epoch)


def run(life: Life, phase: Phase) -> None:
    """Tunes the life's model and fills its training result; raises Diverged for a loss that is not finite.

    Dev rows are evaluated in phases of their own that interrupt this one: neither its time and memory nor the steps' rates have theirs.
    """
    from harness.runs.phases.trainer import DevWatch, MeasuredTrainer, Watch, training_arguments

    assert life.training_set is not None, "prepare comes first"
    assert life.method is not None, "attach comes first"
    assert life.head is not None, "load comes first"
    config = life.cell.config
    if life.device == "cpu" and config.train.optim.startswith("paged_"):
        life.result.notes.append(f"{config.train.optim}: bitsandbytes pages nothing on a CPU; its states were kept unpaged")
    clock = StepClock(life.device, config.measure.warmup_steps)
    arguments = training_arguments(config.train, life.cell.labels.seed, life.folder, life.device)
    tell = life.context().progress

    def progress(done: int, steps: int) -> None:
        life.board.step(done)
        tell(done, steps)

    watch = Watch(clock, progress, life.folder / "training.jsonl")
    trainer = MeasuredTrainer(life.model, arguments, life.training_set, watch, life.method, life.head.kind)
    course = early_stopping.course(life)
    if course is not None:
        trainer.add_callback(DevWatch(course, clock, phase))
    trainer.train()
    if course is not None:
        with phase("evaluate_dev"):
            course.end(trainer.state.global_step, trainer.state.max_steps)
    life.result.training = _summary(trainer, clock, course, life.result.notes)
    life.result.training.rank_allocation = life.method.rank_allocation(life.model)
    life.training_set = life.dev_set = None


def save(life: Life) -> None:
    """Saves what the method has tuned to <cell>/adapter, whole or not at all, and measures its bytes; full weights are not kept.

    Raises StorageError when the disk refuses.
    """
    assert life.method is not None, "attach comes first"
    folder, aside = life.folder / "adapter", life.folder / ".adapter.tmp"
    with disk_refusals_told("what was tuned", folder):
        try:
            life.method.save(life.model, aside)
            if aside.is_dir():
                shutil.rmtree(folder, ignore_errors=True)  # of a cell that lived in this folder before
                aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    if folder.is_dir():
        life.result.sizes.adapter_bytes = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def _summary(trainer: Any, clock: StepClock, course: DevCourse | None, notes: list[str]) -> Training:
    """What the optimizer did, and how fast."""
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Training(
        steps=trainer.state.global_step,
        **throughput.of(trainer, clock, notes),
        final_loss=losses[-1] if losses else None,
        dev=course.values if course is not None else [],
        best_step=course.best_step if course is not None else None,
        stopped_early=course.stopped_early if course is not None else None,
    )
