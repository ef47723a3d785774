"""What of a check is kept, and the page that is made of it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from measured import main as write_page
from measured import page
from record_factory import record
from reference_results import merged, read_records, slug, write_json, write_records

from harness.errors import HarnessError
from harness.records.measured import Latency, Training
from harness.records.parts import Percentiles
from harness.records.schema import Environment, Record

MS = Percentiles(p50=12.34, p90=13.0, p99=14.0)


def step_record(method: str = "lora", status: str = "ok", driver: str = "580.1", day: int = 1) -> Record:
    """One cell of step_times, as a GPU has measured it on that day of 2026-12."""
    at = datetime(2026, 12, day, tzinfo=UTC)
    environment = Environment(
        device="cuda", gpu="NVIDIA H200", driver=driver, cuda="13.0", python="3.12.3", platform="Linux", host="gpu", harness="0.1.0", packages={"torch": "2.11.0"}
    )
    training = Training(steps=16, tokens=32768, samples=64, tokens_per_second=54321.0, step_ms=MS)
    found = record(method=method, status=status, training=training, environment=environment)
    return found.model_copy(update={"started": at, "finished": at})


def planned(*records: Record) -> dict[str, str]:
    return {found.cell.id: found.cell.method for found in records}


def test_a_cards_name_is_a_folders_name() -> None:
    assert slug("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"
    assert slug(None) == "cpu"


def test_what_is_newer_takes_the_place_of_what_was_there_and_the_rest_stays() -> None:
    first, second, third = step_record("full"), step_record("lora"), step_record("ia3")
    newer = step_record("lora", driver="590.2", day=2)
    found = merged(planned(first, second, third), [first, second], [newer])
    assert found.records == [first, newer]
    assert (found.fresh, found.missing, found.failed) == (["lora"], ["ia3"], {})


def test_a_cell_that_failed_keeps_what_it_had_and_is_told() -> None:
    before, now = step_record("lora"), step_record("lora", status="failed", day=2)
    found = merged(planned(before), [before], [now])
    assert found.records == [before]
    assert found.failed == {"lora": "failed in train: it was failed"}
    assert found.missing == []


def test_a_cell_that_is_not_planned_any_more_is_dropped_and_one_that_ran_out_of_memory_is_a_result() -> None:
    gone, oom = step_record("full"), step_record("lora", status="oom")
    found = merged(planned(oom), [gone], [oom])
    assert found.records == [oom]
    assert found.fresh == ["lora"]


def test_records_are_read_back_as_they_were_and_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "step_times.jsonl"
    write_records(path, [step_record("full"), step_record("lora")])
    assert read_records(path) == [step_record("full"), step_record("lora")]
    assert read_records(tmp_path / "nothing.jsonl") == []
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(HarnessError, match=r"step_times\.jsonl:3: not a record of ours"):
        read_records(path)


def test_without_results_the_page_says_so_and_holds_no_figure(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert "Nothing has been measured on a GPU yet" in text
    assert "|" not in text


def test_figures_stand_on_the_page_with_date_driver_and_versions(tmp_path: Path) -> None:
    folder = tmp_path / "nvidia-h200"
    old, new = step_record("full"), step_record("lora", driver="590.2", day=2)
    latency = Latency(batch_size=1, prompt_tokens=128, new_tokens=4, ttft_ms=MS, tpot_ms=MS, tokens_per_second=99.0)
    write_json(folder / "environment.json", {"measured": "2026-12-02"} | new.environment.model_dump(mode="json"))
    write_records(folder / "step_times.jsonl", [old, new])
    write_records(folder / "inference_latency.jsonl", [old.model_copy(update={"latency": [latency]})])
    text = page(tmp_path)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| tiny")]
    assert [row[2] for row in rows] == ["full", "lora", "full"]
    assert "12.3 ms" in rows[0]
    assert "54,321" in rows[0]
    assert "12.34 / 13.00 / 14.00 ms" in rows[2]
    assert [row[-1] for row in rows] == ["2026-12-01 (a)", "2026-12-02 (b)", "2026-12-01 (a)"]
    assert "- (a) driver 580.1, CUDA 13.0, harness 0.1.0" in text
    assert "- (b) driver 590.2" in text


def test_the_page_in_docs_is_what_the_results_make(root: Path) -> None:
    """So that no number on it can have been written by hand."""
    assert write_page(["--check"]) == 0


def test_a_page_that_was_edited_by_hand_is_found(tmp_path: Path) -> None:
    out = tmp_path / "measured.md"
    given = ["--reference", str(tmp_path), "--out", str(out)]
    assert write_page(given) == 0
    assert write_page([*given, "--check"]) == 0
    out.write_text(out.read_text() + "| llama-7b | 1 ms |\n")
    assert write_page([*given, "--check"]) == 1


@pytest.mark.parametrize("out", [[], ["--out", "results/reference"], ["--out", "results/reference/x"]])
def test_a_rehearsal_on_a_cpu_never_writes_among_the_references(root: Path, out: list[str]) -> None:
    done = subprocess.run([sys.executable, "benchmarks/gpu_check.py", "--device", "cpu", *out], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "a rehearsal" in done.stderr
