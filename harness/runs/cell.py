"""The life of one cell: its phases in order, each measured. Runs in the cell's own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.measure import memory_limit
from harness.measure.board import Board
from harness.measure.meter import PhaseMeter
from harness.methods.base import Method
from harness.methods.budget import Chosen
from harness.models.anatomy import Anatomy
from harness.models.source import cache_folder
from harness.needs import ModelFacts
from harness.quantization.cache import Quantized
from harness.records.parts import PhaseName
from harness.records.schema import CellResult
from harness.runs.cache import SharedEvaluations
from harness.runs.determinism import make_deterministic
from harness.runs.events import PhaseEnded, PhaseStarted, Progress, Report, ResultSoFar
from harness.runs.phases import (
    attach,
    base_check,
    evaluate,
    fit,
    forms,
    generate,
    load,
    probe,
    quantize,
    train,
)
from harness.runs.trial_cell import TrialCell
from harness.suite.cell import Cell
from harness.tasks.base import Head, TaskContext, TrainingSet
from harness.tasks.used_rows import UsedRows


@dataclass
class Life:
    """A cell on its way through the phases: what is fixed, and what the phases have made so far."""

    cell: Cell
    folder: Path
    device: str
    shared: SharedEvaluations
    cache: Path
    report: Report
    board: Board = field(default_factory=Board)
    result: CellResult = field(default_factory=CellResult)
    facts: ModelFacts | None = None
    tokenizer: Any = None
    head: Head | None = None
    training_set: TrainingSet | None = None
    dev_set: TrainingSet | None = None  # the dev rows as rows to train on, of which the loss can be taken; None without any
    used: UsedRows = field(default_factory=UsedRows)
    base_scores: base_check.Scores | None = None  # of the untuned model's first items; None where nothing can be turned off
    steps: int | None = None
    quantized: Quantized | None = None  # what the cache holds of the model under the scheme; None where nothing is stored
    model: Any = None
    anatomy: Anatomy | None = None
    chosen: Chosen | None = None
    method: Method | None = None  # at the size that its budget allows; None before

    def context(self, tuned: bool = True) -> TaskContext:
        """What the task is told; valid after the load phase. tuned: of the model with the method's virtual tokens, or of the base alone."""
        assert self.facts is not None, "load comes first"
        settings, facts = self.cell.config.train, self.facts
        if facts.context is not None and self.method is not None and tuned:
            facts = replace(facts, context=facts.context - self.method.virtual_tokens)
        return TaskContext(
            tokenizer=self.tokenizer,
            model=facts,
            max_length=min(settings.max_length, facts.context or settings.max_length),
            eval_batch_size=settings.per_device_eval_batch_size,
            seed=self.cell.labels.seed,
            progress=self._progress,
            notes=self.result.notes,
            used=self.used,
        )

    def _progress(self, done: int, total: int) -> None:
        self.board.show_torch()
        self.report(Progress(done, total))


def run_cell(cell: Cell, folder: Path, device: str, report: Report, shared: Path, board: Board | None = None) -> None:
    """Runs the cell's phases on `device` (`cpu` or `cuda`) and reports what happens and what was found.

    folder: the cell's own, for training.jsonl and the adapter. shared: the run's, for what cells share. board: where the
    sampler sees how far the cell is; None: nobody looks.
    Raises whatever ends the cell early; what was measured until then has been reported.
    """
    board = board or Board(device)
    life = Life(cell, folder, device, SharedEvaluations(shared), cache_folder(), report, board)
    meter = PhaseMeter(device, lambda phase, at: report(PhaseStarted(phase, at, meter.interrupts)), lambda reading: report(PhaseEnded(reading)), board)

    @contextmanager
    def phase(name: PhaseName) -> Iterator[None]:
        with meter.phase(name):
            yield
        report(ResultSoFar(life.result))

    if cell.config.deterministic:
        life.result.notes.append(make_deterministic(cell.labels.seed))
    with phase("load"):
        if cell.config.limits.memory_bytes is not None:
            life.result.notes.append(memory_limit.hold(cell.config.limits.memory_bytes, device))
            report(ResultSoFar(life.result))  # now: the limit may end the cell before the phase does
        load.describe(life)
        due = quantize.due(life)
        if not due:
            load.weights(life)
    if due:
        with phase("quantize"):
            quantize.run(life)
        with phase("load"):
            load.weights(life)
    if cell.config.measure.probe:
        with phase("probe"):
            probe.run(life)
    elif isinstance(cell, TrialCell):
        fit.run(life, phase)
    else:
        _live(life, phase)
    life.result.notes.extend(meter.notes)
    report(ResultSoFar(life.result))


def _live(life: Life, phase: forms.Phase) -> None:
    """Everything from the first evaluation to the last measurement."""
    method = life.cell.config.method
    due = evaluate.reuse(life)
    attach.size(life)
    if method.tunes:
        train.prepare(life)  # before anything is evaluated: a row that cannot be trained on ends the cell at once
    if due:
        with phase("evaluate"):
            evaluate.run(life, "before", due)
    timed = generate.due(life)
    if method.tunes:
        _tune(life, phase)
    else:
        with phase("attach"):
            attach.run(life)
        if timed:
            with phase("generate"):
                generate.run(life, "base")
    life.result.data = life.used.uses()


def _tune(life: Life, phase: forms.Phase) -> None:
    """From the untuned model to the measured forms of the tuned one."""
    can_be_turned_off = base_check.due(life)
    if can_be_turned_off:
        with phase("check"):
            base_check.before(life)
    if generate.base_due(life):
        with phase("generate_base"):
            generate.run(life, "base")
    with phase("attach"):
        attach.run(life)
    with phase("train"):
        train.run(life, phase)
    train.save(life)
    if can_be_turned_off:
        with phase("check"):
            base_check.after(life)
    forms.run(life, phase)
