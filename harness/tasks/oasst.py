"""OpenAssistant's conversations as dialogues to train on: its message trees, and the paths through them that Guanaco was trained on.

Sources: Köpf et al. 2023, "OpenAssistant Conversations"; Dettmers et al. 2023, "QLoRA", sec. 5.1. docs/tasks/instructions.md.
"""

from __future__ import annotations

from pathlib import Path

from harness.fields import identity
from harness.tasks.base import TASKS
from harness.tasks.instruct.shapes import GUANACO, Shape, oasst
from harness.tasks.instruct.task import InstructionTask
from harness.tasks.rows.source import DataSet


@TASKS.register("oasst1")
class Oasst1(InstructionTask):
    """One dialogue per message tree: the path of top-ranked messages from its root."""

    lang: str | None = identity(None, description="train on dialogues of this language only (`en`, `de`, ...); null: on all")

    def shape(self, path: Path | None) -> Shape:
        return oasst(self.lang)

    def dataset(self) -> DataSet:
        return DataSet(name="oasst1", hub="OpenAssistant/oasst1", config="default", columns=(), folders=(("oasst1", "oasst"),))


@TASKS.register("openassistant-guanaco")
class Guanaco(InstructionTask):
    """The 9,846 dialogues of QLoRA's Guanaco, each one text."""

    def shape(self, path: Path | None) -> Shape:
        return GUANACO

    def dataset(self) -> DataSet:
        names = ("openassistant-guanaco", "guanaco")
        return DataSet(name="openassistant-guanaco", hub="timdettmers/openassistant-guanaco", config="default", columns=(), folders=(names,))
