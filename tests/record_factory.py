"""Records and run directories for tests of what reads them: the real schema and the real store, values chosen by the test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.records.measured import Memory, PhaseMemory, Sizes, Timing, Training
from harness.records.parts import Percentiles
from harness.records.schema import CellPart, Environment, Metric, Outcome, Parameters, Record
from harness.records.store import RecordStore

MIB = 2**20
START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


def metric(name: str = "accuracy", value: float | None = 0.5, **fields: Any) -> Metric:
    """A metric; accuracy on a validation split under one protocol unless the test says otherwise."""
    given: dict[str, Any] = {"higher_is_better": name != "perplexity", "split": "validation", "protocol": "glue/x", "n": 277}
    return Metric(name=name, value=value, **(given | fields))


def record(
    *,
    model: str = "tiny",
    quantization: str = "none",
    method: str = "lora",
    task: str = "rte",
    seed: int = 0,
    sweep: dict[str, Any] | None = None,
    metrics: Iterable[Metric] = (),
    status: str = "ok",
    source: str = "hub:owner/tiny",
    data: str = "hub",
    peak: int | None = 1000 * MIB,
    train_seconds: float = 10.0,
    config: dict[str, Any] | None = None,
    **fields: Any,
) -> Record:
    """One cell's record. metrics: as the cell measured them; config: laid over the factory's."""
    place = {"model": model, "quantization": quantization, "method": method, "task": task, "seed": seed}
    identity = hashlib.sha256(repr((place, sweep, fields.get("started"))).encode()).hexdigest()[:16]
    resolved = {
        "model": {"source": source},
        "scheme": {"scheme": quantization},
        "method": {"method": method.partition("-")[0]},
        "task": {"task": f"glue/{task}", "data": data},
    }
    part = CellPart(id=identity, suite="tests", sweep=sweep or {}, config=resolved | (config or {}), **place)
    broken = {} if status == "ok" else {"phase": "train", "message": f"it was {status}"}
    given: dict[str, Any] = {
        "cell": part,
        "outcome": Outcome(status=status, **broken),
        "metrics": list(metrics),
        "parameters": Parameters(total=1_000_000, trainable=10_000, trainable_percent=1.0, added=10_000),
        "memory": _memory(peak),
        "timing": Timing(phases={"load": 1.0, "train": train_seconds, "evaluate": 2.0}, total=train_seconds + 3.0),
        "training": Training(
            steps=30, tokens=4000, samples=240, tokens_per_second=400.0, samples_per_second=24.0,
            step_ms=Percentiles(p50=20.0, p90=25.0, p99=30.0), final_loss=0.7,
        ),
        "sizes": Sizes(model_bytes=4_000_000, adapter_bytes=40_000),
        "environment": environment(),
        "started": START,
        "finished": START + timedelta(seconds=train_seconds),
    }  # fmt: skip
    return Record(**(given | fields))


def environment(**fields: Any) -> Environment:
    """A CPU machine."""
    given: dict[str, Any] = {
        "device": "cpu", "cpu": "Test CPU", "cores": 2, "memory_bytes": 8 * 2**30, "python": "3.11.9", "platform": "Linux",
        "host": "box", "harness": "0.1.0", "packages": {"torch": "2.13.0", "peft": "0.21.2"},
    }  # fmt: skip
    return Environment(**(given | fields))


def write_run(folder: Path, records: Iterable[Record], suite: str | None = None) -> Path:
    """A run directory with those records, and that text as its suite.yaml."""
    store = RecordStore(folder)
    store.folder.mkdir(parents=True)
    for each in records:
        store.write(each)
    if suite is not None:
        (folder / "suite.yaml").write_text(suite, encoding="utf-8")
    return folder


def _memory(peak: int | None) -> Memory:
    if peak is None:
        return Memory()
    phases = {"load": PhaseMemory(host_rss=peak // 2), "train": PhaseMemory(host_rss=peak)}
    return Memory(phases=phases, peak_vram=peak, peak_vram_source="host_rss")
