"""Every suite that ships: it plans under all of its profiles, and its smoke profile runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.needs import Machine
from harness.records.store import RecordStore
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

ROOT = Path(__file__).parents[2]
SUITES = sorted((ROOT / "suites").glob("*.yaml"))
PROFILES = [(suite, profile) for suite in SUITES for profile in (None, *yaml.safe_load(suite.read_text()).get("profiles", {}))]


@pytest.mark.parametrize(
    ("suite", "profile"),
    # a smoke profile's micro models are sized in a process of its own, ten seconds each: with -m slow, where it is run too
    [pytest.param(suite, profile, marks=[pytest.mark.slow] if profile == "smoke" and suite.stem != "qlora_vs_lora" else []) for suite, profile in PROFILES],
    ids=lambda part: part.stem if isinstance(part, Path) else str(part),
)
def test_a_shipped_suite_plans_with_every_exclude_and_claim_in_use(suite: Path, profile: str | None) -> None:
    loaded = load_suite(suite, profile)
    plan = make_plan(loaded, Machine())
    assert plan.cells
    assert loaded.measure.probe or not plan.unsupported  # a probe asks what is supported
    assert not plan.problems


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("suite", [suite for suite, profile in PROFILES if profile == "smoke"], ids=lambda path: path.stem)
def test_the_smoke_profile_of_a_suite_runs(suite: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "run", str(suite), "--profile", "smoke", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert {record.outcome.status for record in RecordStore(tmp_path / "run").read_all()[0]} == {"ok"}
