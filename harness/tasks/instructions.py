"""Sets of instructions with one reply each, and any local file of instructions: what a model is tuned on before others evaluate it.

Sources: Alpaca: Taori et al. 2023. FLAN v2: Longpre et al. 2023, "The Flan Collection". docs/tasks/instructions.md.
"""

from __future__ import annotations

from pathlib import Path

from harness.errors import DataError
from harness.tasks.base import TASKS
from harness.tasks.instruct.shapes import ALPACA, FLAN, SHAPES, Shape, shape_of
from harness.tasks.instruct.task import InstructionTask
from harness.tasks.rows.source import DataSet


@TASKS.register("alpaca")
class Alpaca(InstructionTask):
    """Stanford's 52,002 instructions."""

    def shape(self, path: Path | None) -> Shape:
        return ALPACA

    def dataset(self) -> DataSet:
        return DataSet(name="alpaca", hub="tatsu-lab/alpaca", config="default", columns=ALPACA.columns, folders=(("alpaca",),), micro="alpaca")


@TASKS.register("flan")
class Flan(InstructionTask):
    """FLAN v2: many millions of rows, so that a local part of them is the practical thing."""

    def shape(self, path: Path | None) -> Shape:
        return FLAN

    def dataset(self) -> DataSet:
        return DataSet(name="flan", hub="SirNeural/flan_v2", config="default", columns=FLAN.columns, folders=(("flan", "flan_v2"),))


@TASKS.register("instructions")
class Instructions(InstructionTask):
    """A local file of instructions, whose columns say in which of the known shapes it is."""

    def shape(self, path: Path | None) -> Shape:
        if path is None:
            known = "; ".join(str(shape) for shape in SHAPES)
            raise DataError(f"instructions: data: {self.data}: expected a file, or a folder with a file train.json, in one of the shapes {known}")
        return shape_of(path)

    def dataset(self) -> DataSet:
        return DataSet(name="instructions", hub="instructions", config="default", columns=())
