"""`deterministic: true`: two runs give the same bits on a CPU, whatever the order of cells, the jobs and the loaders' workers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.app import app
from harness.records.schema import Record
from harness.records.store import RecordStore

METHODS = ["full", {"id": "lora", "r": 4, "target_modules": "all-linear"}, "houlsby", "prompt-tuning"]
SUITE: dict[str, Any] = {
    "name": "same",
    "deterministic": True,
    "models": [{"id": "encoder", "source": "micro:encoder", "dtype": "float32"}, {"id": "decoder", "source": "micro:decoder", "dtype": "float32"}],
    "quantization": ["none", "bnb-nf4", "rtn-4bit"],
    "methods": METHODS,
    "tasks": [{"id": "sst2", "task": "glue/sst2", "data": "micro", "max_train_samples": 60, "max_eval_samples": 24}],
    "train": {"max_steps": 6, "logging_steps": 1, "learning_rate": 1e-3},
    "exclude": [
        {"quantization": "*-*", "method": ["full", "houlsby", "prompt-tuning"]},
        {"model": "encoder", "quantization": "rtn-4bit"},
        {"model": "decoder", "quantization": ["none", "bnb-nf4"]},
    ],
}
CELLS = 6
CLOCKED = {"seconds", "train_runtime", "train_samples_per_second", "train_steps_per_second"}


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, **sections: Any) -> Path:
    """Runs the suite with these sections in a folder and with a cache of its own; the run directory."""
    folder.mkdir()
    monkeypatch.setenv("HARNESS_CACHE", str(folder / "cache"))
    (folder / "same.yaml").write_text(yaml.safe_dump(SUITE | sections), encoding="utf-8")
    done = CliRunner().invoke(app, ["run", str(folder / "same.yaml"), "--device", "cpu", "--out", str(folder / "run"), *arguments])
    assert done.exit_code == 0, done.output
    return folder / "run"


def bits(run: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """By place: everything of a cell that is no time, no memory and no note."""
    records, damaged = RecordStore(run).read_all()
    assert not damaged
    return {(record.cell.model, record.cell.quantization, record.cell.method): _bits(record, run / "cells" / record.cell.id) for record in records}


def _bits(record: Record, folder: Path) -> dict[str, Any]:
    logged = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert record.training is not None
    here = str(folder.parents[2]).encode()  # PEFT writes down where a quantized base model was: in this run's cache
    return {
        "outcome": record.outcome.model_dump(),
        "metrics": [metric.model_dump_json() for metric in record.metrics],
        "data": sorted(use.model_dump_json() for use in record.data),
        "final_loss": record.training.final_loss,
        "losses": [{key: value for key, value in entry.items() if key not in CLOCKED} for entry in logged],
        "adapter": {path.name: path.read_bytes().replace(here, b"<here>") for path in (folder / "adapter").rglob("*") if path.is_file()},
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_runs_give_the_same_bits_whatever_the_order_the_jobs_and_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Callable[..., None]
) -> None:
    begun = time.monotonic()
    first = bits(run(tmp_path / "first", monkeypatch))
    turned = {"models": SUITE["models"][::-1], "methods": METHODS[::-1], "train": SUITE["train"] | {"dataloader_num_workers": 2}}
    second = bits(run(tmp_path / "second", monkeypatch, "--jobs", "2", **turned))
    other = bits(run(tmp_path / "other", monkeypatch, "--only", "encoder/none/lora/*", seeds=[1]))

    assert len(first) == CELLS
    assert first == second
    place = ("encoder", "none", "lora")
    assert all(len(cell["losses"]) > 6 for cell in first.values()), "every step's loss was compared"
    assert "adapter_model.safetensors" in first[place]["adapter"]
    assert other[place]["losses"] != first[place]["losses"], "another seed is another run"
    ledger(
        area="determinism", check="cells run twice, with 0 and 2 loader workers, in two orders, 1 and 2 at once: metrics, losses and adapters equal to the bit",
        tried=CELLS, survived=sum(first[place] == second[place] for place in first), seconds=time.monotonic() - begun,
    )  # fmt: skip
