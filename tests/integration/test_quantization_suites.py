"""The suites about quantization, on the micro models: every cell goes through, and the orders that must hold even there do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.analysis.claims import check_claims
from harness.analysis.run import read_run

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "suite", ["datatypes", "ptq_perplexity", "salient_weights", "calibration_matters", "quantize_before_or_after"]
)
def test_the_smoke_profile_runs_and_its_claims_hold(suite: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "run", str(ROOT / "suites" / f"{suite}.yaml"), "--profile", "smoke", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert {path.name for path in tmp_path.iterdir()} == {"run"}, "nothing is left in the folder that it was started from"
    run = read_run(tmp_path / "run")
    assert {row.record.outcome.status for row in run.rows} == {"ok"}
    claims = run.require_suite().claims
    assert claims
    assert {checked.claim.id: checked.verdict for checked in check_claims(run.rows, claims)} == {claim.id: "reproduced" for claim in claims}
