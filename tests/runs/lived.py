"""Cells on micro models, run in the test's process from the plan to the last measurement, and watched while they live."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.models.load import head_modules
from harness.needs import Machine
from harness.records.parts import PhaseName
from harness.records.schema import CellResult
from harness.runs.cell import Life, run_cell
from harness.runs.events import Event, PhaseEnded, ResultSoFar
from harness.runs.phases import evaluate, merge
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

SUITE = """
name: forms
models: [{{source: "micro:{kind}", dtype: {dtype}}}]
quantization: [{scheme}]
methods: [{method}]
tasks: [{task}]
train: {{max_steps: {steps}, max_length: {length}, per_device_train_batch_size: 16, per_device_eval_batch_size: 50, learning_rate: {rate}, warmup_steps: 0.1}}
measure: {{warmup_steps: 1, {measure}}}
"""
TASKS = {"decoder": "{task: wikitext2, data: micro, max_eval_samples: 2}", "encoder": "{task: glue/sst2, data: micro, max_eval_samples: 150}"}
RATES = {"decoder": "2e-2", "encoder": "5e-3"}
LORA = "{method: lora, r: 8, lora_alpha: 16, target_modules: all-linear}"
AFTERWARDS = "{scheme: bnb-nf4, order: tune-then-quantize}"
ALL = "forms: [merged-requantized, unmerged, merged], latency: {prompt_tokens: 4, new_tokens: 3, repeats: 1}"
#: lora targets of a decoder with tied embeddings that cannot be merged, which only the loaded model tells
TIED = "{method: lora, r: 4, target_modules: [embed_tokens]}"


@dataclass
class Lived:
    """What came of a cell, run in this process. heads: of a classifier, by the form in which it was evaluated."""

    folder: Path
    phases: list[PhaseName] = field(default_factory=list)
    host_peaks: dict[PhaseName, int | None] = field(default_factory=dict)
    result: CellResult = field(default_factory=CellResult)
    heads: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    tuned_model_alive: bool | None = None

    @property
    def values(self) -> dict[str, float]:
        """The one metric of the cell, by when it was evaluated, in that order."""
        return {metric.when: metric.value for metric in self.result.metrics if metric.value is not None}


def live(
    folder: Path, scheme: str, method: str = LORA, kind: str = "decoder", measure: str = ALL, dtype: str = "float32", steps: int = 6, length: int = 16
) -> Lived:
    """One cell of a suite, run in this process under `folder`, which cells share. The encoder needs 150 steps of length 64 to learn."""
    suite = folder / "suite.yaml"
    text = SUITE.format(
        kind=kind, dtype=dtype, scheme=scheme, method=method, task=TASKS[kind], measure=measure, steps=steps, length=length, rate=RATES[kind]
    )
    suite.write_text(text)
    (cell,) = make_plan(load_suite(suite), Machine()).cells
    assert cell.unsupported is None, cell.unsupported
    lived, events = Lived(folder / cell.id), list[Event]()
    lived.folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        _watch(lived, patch)
        run_cell(cell, lived.folder, "cpu", events.append, folder / "shared")
    readings = [event.reading for event in events if isinstance(event, PhaseEnded)]
    lived.phases = [reading.phase for reading in readings]
    lived.host_peaks = {reading.phase: reading.host_rss for reading in readings}
    lived.result = [event.result for event in events if isinstance(event, ResultSoFar)][-1]
    return lived


def _watch(lived: Lived, patch: pytest.MonkeyPatch) -> None:
    """Looks at the model whenever it is evaluated, and whether the tuned one is still there when another is made of it."""
    evaluated, merged, tuned = evaluate.run, merge.run, list[Any]()

    def at_evaluation(life: Life, when: Any, due: Any = None) -> None:
        evaluated(life, when, due)
        tuned[:] = [weakref.ref(life.model)]
        if life.head is not None and life.head.kind == "sequence-classification":
            lived.heads[when] = _head(life.model)

    def at_merging(life: Life) -> None:
        lived.tuned_model_alive = bool(tuned) and tuned[0]() is not None
        merged(life)

    patch.setattr(evaluate, "run", at_evaluation)
    patch.setattr(merge, "run", at_merging)


def _head(model: Any) -> dict[str, torch.Tensor]:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    tuned = {name: values for name, values in base.named_parameters() if name.partition(".")[0] in head_modules(base)}
    found = {name: values for name, values in tuned.items() if "original_module" not in name}
    return {name.replace("modules_to_save.default.", ""): values.detach().clone() for name, values in found.items()}
