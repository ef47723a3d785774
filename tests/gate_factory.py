"""Pairs of runs for tests of the gate: constructed records, complete run directories, noise of a known size."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from noise_factory import noisy_run
from record_factory import MIB, environment, metric, record, write_run

from harness.analysis.gate.compare import Comparison, compare_paths
from harness.records.measured import Memory, PhaseMemory, Timing, Training
from harness.records.parts import Percentiles
from harness.records.schema import Record

METHODS = ("full", "lora", "ia3")
SCHEMES = ("none", "bnb-nf4")


def cell(
    *, accuracy: float | None = 0.9, items: int | None = 400, step: float = 20.0, peak: int = 1000 * MIB, seconds: float = 10.0, final_loss: float = 0.7, **fields: Any
) -> Record:
    """A cell with a score over items, of which the first `accuracy` are right, step times and a peak."""
    answers = None if items is None or accuracy is None else [float(at < round(accuracy * items)) for at in range(items)]
    score = metric("accuracy", accuracy, n=items, items=answers)
    training = Training(
        steps=30, tokens=4000, samples=240, tokens_per_second=400.0 * 20.0 / step, step_ms=Percentiles(p50=step, p90=step * 1.2, p99=step * 1.4), final_loss=final_loss
    )
    memory = Memory(phases={"load": PhaseMemory(host_rss=peak // 2), "train": PhaseMemory(host_rss=peak)}, peak_vram=peak, peak_vram_source="host_rss")
    given: dict[str, Any] = {
        "metrics": [score], "training": training, "memory": memory,
        "timing": Timing(phases={"load": 1.0, "train": seconds, "evaluate": 2.0}, total=seconds + 3.0),
    }  # fmt: skip
    return record(**(given | fields))


def six(change: Callable[[str, str], dict[str, Any]] = lambda scheme, method: {}, **common: Any) -> list[Record]:
    """Six cells, schemes by methods; change: what is different about one of them."""
    return [cell(quantization=scheme, method=method, **(common | change(scheme, method))) for scheme in SCHEMES for method in METHODS]


def shaken(seed: int, time: float = 0.01, memory: float = 0.001) -> list[Record]:
    """The six cells measured once more: times and peaks scattered by these shares, scores the same."""
    rng = random.Random(seed)
    return six(
        lambda scheme, method: {
            "step": 20.0 * (1 + rng.gauss(0, time)), "seconds": 10.0 * (1 + rng.gauss(0, time)), "peak": round(1000 * MIB * (1 + rng.gauss(0, memory))),
        }
    )  # fmt: skip


def run(folder: Path, records: Sequence[Record], planned: Sequence[str] = (), suite: str | None = None) -> Path:
    """A finished run of these records. planned: ids of further cells, which have no record yet."""
    write_run(folder, records, suite)
    return plan(folder, [*(each.cell.id for each in records), *planned])


def plan(folder: Path, ids: Sequence[str]) -> Path:
    """Writes the run.json that says which cells there are."""
    facts = {"suite": "tests", "profile": None, "device": "cpu", "planned": list(ids)}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def repeated(folder: Path, repeats: int = 3, **scatter: float) -> Path:
    """A finished run of the six cells with the noise floors of as many A/A repeats."""
    path = noisy_run(folder, lambda number: shaken(number, **scatter), repeats)
    return plan(path, [each.cell.id for each in six()])


def compared(folder: Path, before: Sequence[Record] | Path, now: Sequence[Record], gate: str | None = None, allowed: Sequence[str] = ()) -> Comparison:
    """The comparison of two runs written under `folder`. gate: YAML text."""
    left = before if isinstance(before, Path) else run(folder / "before", before)
    right = run(folder / "now", now)
    file = None
    if gate is not None:
        file = folder / "gate.yaml"
        file.write_text(gate, encoding="utf-8")
    return compare_paths(str(left), right, file, allowed)


__all__ = ["MIB", "cell", "compared", "environment", "metric", "plan", "record", "repeated", "run", "shaken", "six"]
