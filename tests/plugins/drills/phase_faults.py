"""A third party's method, task and scheme that fail in the phase they are told to, in the way they are told to.

What they do otherwise is what they derive from: LoRA, random rows, rounded weights.
"""

from __future__ import annotations

import ctypes
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar, Literal

from harness_drills import Rounded

from harness.fields import identity, runtime
from harness.methods.base import Attachment
from harness.methods.lora import Lora
from harness.needs import ModelFacts
from harness.quantization.job import QuantizationJob
from harness.records.schema import Metric
from harness.tasks.base import Head, TaskContext
from harness.tasks.synthetic import Synthetic

Fault = Literal["nothing", "oom", "hang", "segfault", "nan", "clock"]
PROMPT_TOKENS = 3  # by which a forward pass of the generate phase is told: no row of the task is as short
EVALUATIONS = ("evaluate", "check", "check-after", "evaluate-after", "evaluate_merged", "evaluate_requantized")  # in the order of a cell's life


def strike(fault: Fault, traces: str | None = None) -> None:
    """What happens, really: an allocation that nobody has room for, a hang with a child, a null pointer, a wall clock set back by a day."""
    if fault == "oom":
        import torch

        torch.empty(10**15)
    if fault == "hang":
        child = subprocess.Popen(["sleep", "1000"])
        if traces is not None:
            Path(traces, str(child.pid)).touch()
        time.sleep(1000)
    if fault == "segfault":
        ctypes.string_at(0)
    if fault == "clock":
        ahead = time.time
        time.time = lambda: ahead() - 86400


class FaultyLora(Lora):
    """LoRA that fails in `where`: attach, train (at the third step), generate or merge."""

    fault: Fault = identity("nothing", description="what happens")
    where: str = identity("", description="in which phase")
    traces: str | None = runtime(None, description="folder where a child leaves its pid")

    _steps: int = 0

    def attach(self, model: Any, attachment: Attachment) -> Any:
        """LoRA's, if it comes to that."""
        self._strike("attach")
        attached = super().attach(model, attachment)
        if self.where == "generate":
            attached.register_forward_pre_hook(self._look_at_forward, with_kwargs=True)
        return attached

    def loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        """The model's own, not a number at the third step."""
        self._steps += 1
        if self.where == "train" and self._steps == 3:
            strike(self.fault, self.traces)
            if self.fault == "nan":
                return model(**inputs).loss * float("nan")
        return super().loss(model, inputs)

    def merged(self, model: Any) -> Any:
        """LoRA's, if it comes to that."""
        self._strike("merge")
        return super().merged(model)

    def _look_at_forward(self, model: Any, arguments: Any, named: dict[str, Any]) -> None:
        if not model.training and named["input_ids"].shape[1] == PROMPT_TOKENS:
            strike(self.fault, self.traces)

    def _strike(self, phase: str) -> None:
        if self.where == phase:
            strike(self.fault, self.traces)


class FaultyRows(Synthetic):
    """Random rows whose task fails in `where`: load, or one of EVALUATIONS; it counts them."""

    fault: Fault = identity("nothing", description="what happens")
    where: str = identity("", description="in which phase")
    traces: str | None = runtime(None, description="folder where a child leaves its pid")

    calls: ClassVar[int] = 0  # of this process: the check of a frozen base evaluates a copy of the task

    def head(self, model: ModelFacts) -> Head:
        """Asked for while the model is loaded."""
        if self.where == "load":
            strike(self.fault, self.traces)
        return super().head(model)

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        """Reads the rows; 0.5."""
        FaultyRows.calls += 1
        if self.where == EVALUATIONS[FaultyRows.calls - 1]:
            strike(self.fault, self.traces)
        super().evaluate(model, context)
        return [Metric(name="accuracy", value=0.5, n=2, higher_is_better=True, split="test", protocol="faulty/1")]


class FaultyRounding(Rounded):
    """Rounding that fails at its first or its second call: in quantize, or in requantize."""

    strikes: Fault = runtime("nothing", description="what happens")
    where: str = runtime("", description="in which phase")
    traces: str | None = runtime(None, description="folder where a child leaves its pid")

    calls: ClassVar[int] = 0

    def quantize(self, job: QuantizationJob) -> None:
        """Rounds, if it comes to that."""
        FaultyRounding.calls += 1
        if self.where == ("quantize", "requantize")[FaultyRounding.calls - 1]:
            strike(self.strikes, self.traces)
        super().quantize(job)
