"""The README's first command, as a user runs it: the whole quickstart suite, its records and its report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from harness.records.schema import Record
from harness.records.store import RecordStore

pytestmark = pytest.mark.timeout(900)  # two minutes on a quiet machine


def harness(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def quickstart(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory."""
    out = tmp_path_factory.mktemp("quickstart") / "run"
    done = harness("run", "suites/quickstart.yaml", "--out", str(out), cwd=root)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def records(quickstart: Path) -> list[Record]:
    found, damaged = RecordStore(quickstart).read_all()
    assert not damaged
    return found


def metric(record: Record, name: str, when: str) -> float:
    return next(entry.value for entry in record.metrics if (entry.name, entry.when) == (name, when))


def test_every_cell_ends_ok(records: list[Record]) -> None:
    assert len(records) == 18
    assert {record.outcome.status for record in records} == {"ok"}


def test_tuning_improves_every_cell_that_tunes(records: list[Record]) -> None:
    for record in records:
        if record.cell.method == "none":
            assert {entry.when for entry in record.metrics} == {"before"}
        elif record.cell.task == "sst2":
            assert metric(record, "accuracy", "after") > metric(record, "accuracy", "before") + 0.1
        else:
            assert metric(record, "perplexity", "after") < metric(record, "perplexity", "before")


def test_quantized_weights_are_smaller_and_lora_trains_a_small_share(records: list[Record]) -> None:
    stored = {(record.cell.model, record.cell.quantization): record.sizes.model_bytes for record in records}
    for model in ("micro-decoder", "micro-encoder"):
        assert stored[model, "bnb-nf4-dq"] < stored[model, "bnb-int8"] < stored[model, "none"]
        assert stored[model, "bnb-nf4-dq"] < stored[model, "bnb-fp4"]
    shares = {record.cell.method: record.parameters.trainable_percent for record in records if record.parameters}
    assert shares["none"] == 0
    assert shares["full"] == 100
    assert 0 < shares["lora-r8"] < 20


def test_every_phase_is_measured_and_what_cannot_be_is_null_with_a_note(records: list[Record]) -> None:
    for record in records:
        tuned = record.cell.method != "none"
        assert {"load", "attach", "evaluate"} | ({"train"} if tuned else set()) <= set(record.timing.phases)
        assert all(seconds > 0 for seconds in record.timing.phases.values())
        assert all(memory.host_rss and memory.host_rss > 50e6 for memory in record.memory.phases.values())
        if record.environment.device == "cpu":
            assert record.memory.peak_vram_source == "host_rss"
            assert all(memory.nvml_process is None and memory.torch_reserved is None for memory in record.memory.phases.values())
            assert record.energy.source is None
            assert any("NVML" in note or "NVIDIA" in note for note in record.notes)
        if tuned:
            assert record.training is not None
            assert record.training.steps == record.cell.config["train"]["max_steps"]
            assert record.training.step_ms is not None
            assert record.training.step_ms.p50 <= record.training.step_ms.p99
            assert record.training.tokens_per_second > record.training.samples_per_second > 0


def test_the_run_directory_holds_what_the_contract_says(quickstart: Path, records: list[Record]) -> None:
    run = quickstart
    for name in ("suite.yaml", "environment.json", "report.md"):
        assert (run / name).is_file(), name
    assert list((run / "tables").glob("*.csv"))
    assert list((run / "plots").glob("*.svg"))
    for record in records:
        cell = run / "cells" / record.cell.id
        assert (cell / "log.txt").is_file()
        shown = pandas.read_parquet(cell / "telemetry.parquet", columns=["phase", "step"]).dropna(subset=["step"])
        assert (shown["step"].max() <= record.training.steps) if record.training else shown.empty
        if record.cell.method == "lora-r8":
            assert (cell / "adapter" / "adapter_model.safetensors").stat().st_size <= record.sizes.adapter_bytes
        if record.cell.method != "none":
            losses = [json.loads(line) for line in (cell / "training.jsonl").read_text().splitlines()]
            assert losses[0]["loss"] > 0


def test_the_report_answers_first_and_names_every_cell(quickstart: Path) -> None:
    report = (quickstart / "report.md").read_text(encoding="utf-8")
    for part in ("wikitext2/gptq-", "glue/sst2", "lora-r8", "bnb-nf4-dq", "accuracy", "perplexity", "transformers"):
        assert part in report, part


def test_repeating_the_command_runs_nothing_again(quickstart: Path, root: Path) -> None:
    run = quickstart
    before = {path.name: path.stat().st_mtime_ns for path in (run / "records").iterdir()}
    done = harness("run", "suites/quickstart.yaml", "--out", str(run), cwd=root)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.stat().st_mtime_ns for path in (run / "records").iterdir()} == before
