"""`make gpu-check`, rehearsed on a CPU with micro models, and refused where it would measure a GPU that is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from reference_results import read_records

from harness.measure.environment import cuda_unusable


def check(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/gpu_check.py", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)


def test_without_a_gpu_it_says_so_and_writes_nothing(root: Path, tmp_path: Path) -> None:
    if cuda_unusable() is None:
        pytest.skip("there is a GPU here")
    done = check(root, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "no GPU to check: no NVIDIA driver" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_rehearsal_measures_every_suite_and_a_second_one_only_what_is_missing(root: Path, tmp_path: Path) -> None:
    given = ["--device", "cpu", "--profile", "smoke", "--out", str(tmp_path), "--minutes", "25"]
    done = check(root, *given)
    folder = tmp_path / "cpu"
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((folder / "check.json").read_text())
    assert {part["name"]: part["status"] for part in told["parts"] if part["status"] != "done"} == {"trace": "skipped"}
    assert told["tests"]["failed"] == {}
    assert {row["name"]: row["value"] for row in json.loads((folder / "doctor.json").read_text())["device"]}["cells run on"] == "cpu"
    assert 0.3 < json.loads((folder / "telemetry_overhead.json").read_text())["ratio"] < 3
    for suite, found in told["suites"].items():
        assert found["never measured"] == [], suite
        assert len(read_records(folder / f"{suite}.jsonl")) + len(found["failed now"]) == found["planned"]
    lines = (folder / "step_times.jsonl").read_text().splitlines(keepends=True)
    (folder / "step_times.jsonl").write_text("".join(lines[1:]))
    again = check(root, *given, "--missing")
    assert again.returncode == 0, again.stdout + again.stderr
    told = json.loads((folder / "check.json").read_text())
    assert len(told["suites"]["step_times"]["measured now"]) == 1
    assert len(read_records(folder / "step_times.jsonl")) == len(lines)
