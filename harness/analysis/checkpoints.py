"""Which state of a model the dev rows chose, and whether they ended its training: a row per cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.analysis.columns import Row, describe
from harness.analysis.groups import AxisOrder
from harness.analysis.layouts import shared_note, shown_axes
from harness.analysis.pivot import axis_columns, name_entries
from harness.analysis.statistics import Sample
from harness.analysis.table import MISSING, Column, Entry, Table
from harness.quantities import Quantity, quantity
from harness.records.measured import DevValue, Training

LOSS = "loss"  # what language models are chosen by: no metric of a task


def checkpoint_table(rows: Sequence[Row], order: AxisOrder) -> Table | None:
    """Where the dev rows scored best and where training ended, and which of these states was evaluated, for every cell that loaded
    its best state or could stop early; None where there is none. Random weights have no quality and are left out.
    """
    having = [row for row in rows if row.ok and not row.random_weights and _chose(row)]
    if not having:
        return None
    axes = shown_axes(having, without=())
    body = []
    for row in order.sort(having, [axis for axis in axes if axis != "seed"] + ["seed"]):
        assert row.record.training is not None, "a cell that chose was trained"
        loads = bool(row.config("train", "load_best_model_at_end"))
        body.append((*name_entries(axes, tuple(row.axes.get(axis) for axis in axes)), *_choice(row.record.training, loads, having)))
    columns = (*axis_columns(axes), Column("by", names=True), Column("best step"), Column("best"), Column("last step"), Column("last"))
    columns += (Column("stopped early", names=True), Column("evaluated", names=True))
    notes = ("best, last: what the dev rows scored after so many optimizer steps.", *shared_note(having, axes))
    return Table("checkpoints", "Chosen checkpoints", columns, tuple(body), notes)


def _chose(row: Row) -> bool:
    asked = row.config("train", "load_best_model_at_end") or row.config("train", "early_stopping_patience") is not None
    return bool(asked and row.record.training is not None and row.record.training.dev)


def _choice(training: Training, loads: bool, rows: Sequence[Row]) -> tuple[Entry, ...]:
    """What chose, the best and the last step with what was scored there, whether patience ended training, and which state was
    evaluated. loads: whether the best one was to be."""
    last = training.dev[-1]
    best = next((each for each in training.dev if each.step == training.best_step), None)
    by = replace(quantity("training.final_loss"), label=LOSS) if last.metric == LOSS else describe(last.metric, rows)
    stopped = {True: "yes", False: "no", None: MISSING}[training.stopped_early]
    evaluated = "best" if loads and best is not None else "last"
    return Entry(by.label), *_scored(best, by), *_scored(last, by), Entry(stopped), Entry(evaluated)


def _scored(found: DevValue | None, by: Quantity) -> tuple[Entry, Entry]:
    """The step and the score; None: no score was ever defined."""
    if found is None:
        return Entry(MISSING), Entry(MISSING)
    return Entry(f"{found.step:,}"), Entry("undefined") if found.value is None else Entry(by.show(found.value), Sample((found.value,)))
