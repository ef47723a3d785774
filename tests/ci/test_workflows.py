"""The workflows: every script they name is a file here that runs, and a night does what it says on a small suite."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTS = [*sorted((ROOT / "ci").glob("*.sh")), ROOT / ".ci" / "run"]
TINY = """
name: tiny-night
models: [{id: micro-encoder, source: micro:encoder}]
methods: [none]
tasks: [{id: sst2, task: glue/sst2, data: micro, max_eval_samples: 16}]
"""


def workflow(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_step_is_a_script_of_this_repository_or_a_pinned_action(path: Path) -> None:
    for step in steps(path):
        if "run" in step:
            script = ROOT / step["run"].split()[0]
            assert script in SCRIPTS, f"{path.name}: {step['run']}: the part that runs belongs into a file that this test can run"
            assert os.access(script, os.X_OK), f"{script} is not executable"
        else:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]), step["uses"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_job_ends_by_itself_and_only_reads(path: Path) -> None:
    found = workflow(path)
    assert found["permissions"] == {"contents": "read"}
    assert "group" in found["concurrency"]
    assert all(job["timeout-minutes"] for job in found["jobs"].values())


def test_the_night_waits_for_the_one_before_and_sets_only_what_the_script_reads() -> None:
    found = workflow(ROOT / ".github" / "workflows" / "nightly-gpu.yml")
    assert found["concurrency"]["cancel-in-progress"] is False
    script = (ROOT / "ci" / "nightly.sh").read_text(encoding="utf-8")
    for name in found["jobs"]["nightly"]["env"]:
        assert re.search(rf"\$\{{?{name}\b", script), f"ci/nightly.sh reads no {name}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_stop_at_the_first_error(path: Path) -> None:
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")


def night(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """ci/nightly.sh on the CPU with those settings, `harness` being this environment's."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")} | {"PATH": path, "DEVICE": "cpu", "OUT": str(folder / "run")}
    return subprocess.run([str(ROOT / "ci" / "nightly.sh")], cwd=folder, env=given | settings, capture_output=True, text=True, timeout=1200, check=False)


@pytest.fixture(scope="module")
def tonight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("night")
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    return folder, night(folder, SUITE="tiny.yaml", HISTORY=str(folder / "history.sqlite"), GITHUB_STEP_SUMMARY=str(folder / "summary.md"))


def test_a_night_leaves_a_report_a_history_and_a_summary(tonight: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = tonight
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"doctor.txt", "report.md", "report.html", "report.json"} <= {path.name for path in (folder / "run").iterdir()}
    assert "1 record added" in done.stdout
    assert "No BASELINE is set" in (folder / "summary.md").read_text(encoding="utf-8")


def test_a_night_against_itself_is_no_worse_and_says_so_in_every_form(tonight: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = tonight
    harness = [sys.executable, "-m", "harness"]
    if subprocess.run([*harness, "compare", "--help"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this harness has no compare")
    done = night(folder, SUITE="tiny.yaml", BASELINE=str(folder / "run"), SUMMARY=str(folder / "compared.md"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "compared.md").read_text(encoding="utf-8").strip()
    json.loads((folder / "run" / "compare.json").read_text(encoding="utf-8"))
    assert (folder / "run" / "compare.xml").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_night_that_does_not_compare_says_why_in_every_form(tonight: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    folder, _ = tonight
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder / "run", elsewhere)
    for path in (elsewhere / "records").glob("*.json"):
        path.write_text(re.sub(r'"cpu": "[^"]*"', '"cpu": "Other CPU"', path.read_text(encoding="utf-8")), encoding="utf-8")
    done = night(folder, SUITE="tiny.yaml", BASELINE=str(elsewhere), SUMMARY=str(tmp_path / "summary.md"), GITHUB_ACTIONS="true")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "NOT COMPARABLE: measured on different devices" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert 'errors="1"' in (folder / "run" / "compare.xml").read_text(encoding="utf-8")
    assert "::error title=harness compare::NOT COMPARABLE" in done.stdout
    assert night(folder, SUITE="tiny.yaml", BASELINE="nightlyy", SUMMARY=str(tmp_path / "unknown.md")).returncode == 2
    assert "unknown baseline 'nightlyy'" in (tmp_path / "unknown.md").read_text(encoding="utf-8")


def test_a_suite_that_is_wrong_ends_the_night_with_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("name: wrong\nmodells: []\n", encoding="utf-8")
    done = night(tmp_path, SUITE="wrong.yaml")
    assert done.returncode == 2
    assert "did you mean models" in done.stderr


def test_a_night_without_a_suite_is_told_what_to_set(tmp_path: Path) -> None:
    done = night(tmp_path)
    assert done.returncode != 0
    assert "SUITE" in done.stderr
