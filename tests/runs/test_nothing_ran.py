"""A run of which no cell could run is no success, by its exit code and in words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.records.parts import Status
from harness.runs.run import RunSummary


@pytest.mark.parametrize(
    ("statuses", "code"),
    [({"unsupported": 2}, 1), ({"unsupported": 2, "ok": 1}, 0), ({"unsupported": 1, "oom": 1}, 0), ({"ok": 1, "failed": 1}, 1), ({}, 0)],
)
def test_unsupported_cells_are_no_failure_unless_there_is_nothing_else(statuses: dict[Status, int], code: int) -> None:
    assert RunSummary(Path("run"), 3, Counter(statuses)).exit_code == code


def test_harness_run_says_that_no_cell_can_run(tmp_path: Path) -> None:
    suite = tmp_path / "hopeless.yaml"
    suite.write_text("name: hopeless\nmodels: [micro:encoder]\nmethods: [none]\ntasks: [{task: wikitext2, data: micro}]\n")
    done = CliRunner().invoke(app, ["run", str(suite), "--out", str(tmp_path / "run"), "--device", "cpu"], env={"COLUMNS": "200"})
    assert done.exit_code == 1, done.output
    assert "1 unsupported" in done.output
    assert f"no cell can run here: {tmp_path / 'run' / 'report.md'} has the reason of each" in done.output
    assert "perplexity" in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
