"""What a library's update may do to a cell whose definition stays the same: GATE_FAULT says which of it happens.

A step of the method takes `STEP` seconds, whatever else the machine does, so that 15 % of it can be told on any machine.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any, ClassVar

from harness.methods.base import Attachment
from harness.methods.lora import Lora
from harness.quantization.bitsandbytes import Nf4
from harness.tasks.glue import Glue
from harness.tasks.glue_datasets import GLUE, GlueTask
from harness.tasks.rows.source import Rows

STEP = 0.5  # seconds: several times what a step computes
FAULT = os.environ.get("GATE_FAULT")
_step_ends: list[float] = []
_leaked: list[bytes] = []


class LoraUnderTest(Lora):
    """LoRA that may learn ten times as fast, take 15 % longer for a step, hold 20 % more memory, or die."""

    def attach(self, model: Any, attachment: Attachment) -> Any:
        """See Lora.attach."""
        if FAULT == "dies":
            os.abort()
        if FAULT == "leak":
            import psutil

            _leaked.append(b"x" * round(0.2 * psutil.Process().memory_info().rss))
        return super().attach(model, attachment)

    def parameter_groups(self, model: Any, learning_rate: float, weight_decay: float) -> list[dict[str, Any]] | None:
        """transformers' own, unless the rate is wrong."""
        if FAULT != "learning-rate":
            return None
        tuned = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return [{"params": tuned, "lr": 10 * learning_rate, "weight_decay": weight_decay}]

    def after_step(self, model: Any, step: int) -> None:
        """Waits until the step has taken its time."""
        now = time.monotonic()
        began = _step_ends[-1] if _step_ends else now - STEP
        time.sleep(max(0.0, began + STEP * (1.15 if FAULT == "slow" else 1.0) - now))
        _step_ends.append(time.monotonic())


class Sst2UnderTest(Glue):
    """SST-2, of whose training rows every twentieth may have the other label."""

    @property
    def glue(self) -> GlueTask:
        """SST-2."""
        return GLUE["sst2"]

    def loaded(self, split: str, context: Any) -> Rows:
        """See Benchmark.loaded."""
        rows = super().loaded(split, context)
        if FAULT != "labels" or split != "train":
            return rows
        flipped = [1 - label if at % 20 == 0 else label for at, label in enumerate(rows["label"])]
        return replace(rows, columns=rows.columns | {"label": flipped})


class UnquantizedUnderTest(Nf4):
    """Weights as they are, or in 4 bit although nobody asked for it."""

    quantizes: ClassVar[bool] = FAULT == "four-bit"
    kbit: ClassVar[bool] = FAULT == "four-bit"
