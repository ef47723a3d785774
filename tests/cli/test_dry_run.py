"""`harness run --dry-run`: what would run and why, with knowledge of the run directory, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness.cli.app import app
from harness.errors import DataError, NotARun

# Perplexity of an encoder is unsupported: its records need no process.
SUITE = """
name: looked
models: [micro:encoder]
methods: [none]
tasks: [{task: wikitext2, data: micro}, {id: sst2, task: glue/sst2, data: micro, max_eval_samples: 8}]
seeds: SEEDS
"""


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """harness(*arguments, seeds=): `harness run` on the suite, on the CPU, into `run` below tmp_path."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, seeds: str = "[0]") -> Result:
        (tmp_path / "looked.yaml").write_text(SUITE.replace("SEEDS", seeds), encoding="utf-8")
        return CliRunner().invoke(app, ["run", "looked.yaml", "--device", "cpu", "--out", "run", *arguments], catch_exceptions=True)

    return run


def test_before_a_run_all_of_it_would_run_and_no_folder_is_made(harness: Callable[..., Result], tmp_path: Path) -> None:
    found = harness("--dry-run", seeds="[0, 1]")
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[0] == "run directory run (new)"
    assert [line.split(": ", 1)[1] for line in lines if line.startswith("would run c2-")] == ["not run yet"] * 2
    assert lines[-1] == "would run 2 cells; 2 unsupported; 0 finished before; nothing was written"
    assert not (tmp_path / "run").exists()
    harness("--dry-run", "--only", "*/sst2/*")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["looked.yaml"]


def test_of_a_run_only_what_is_left_would_run_each_with_its_reason(harness: Callable[..., Result], tmp_path: Path) -> None:
    harness("--only", "*/wikitext2/*", seeds="[0, 1, 2]")
    cells = json.loads((tmp_path / "run" / "run.json").read_text())["planned"]
    finished = sorted((tmp_path / "run" / "records").glob("*.json"))
    template = json.loads(finished[0].read_text())
    left = [cell for cell in cells if not (tmp_path / "run" / "records" / f"{cell}.json").exists()]
    failed = template | {"cell": template["cell"] | {"id": left[0]}, "outcome": {"status": "failed", "phase": "load", "message": "no answer", "retries": 1}}
    (tmp_path / "run" / "records" / f"{left[0]}.json").write_text(json.dumps(failed))
    (tmp_path / "run" / "records" / f"{left[1]}.json").write_text("{")
    before = contents(tmp_path / "run")

    found = harness("--dry-run", seeds="[0, 1, 2]")

    reasons = dict(line.removeprefix("would run ").split(" ", 1) for line in found.stdout.splitlines() if line.startswith("would run c2-"))
    assert {cell: reason.split(": ", 1)[1] for cell, reason in reasons.items()} == {
        left[0]: "failed in load (attempt 2): no answer", left[1]: "its record is damaged", left[2]: "not run yet",
    }  # fmt: skip
    assert found.stdout.splitlines()[-1] == "would run 3 cells; 0 unsupported; 3 finished before (3 unsupported); nothing was written"
    assert contents(tmp_path / "run") == before

    fresh = harness("--dry-run", "--fresh", seeds="[0, 1, 2]")
    assert fresh.stdout.count(": --fresh") == 2
    narrower = harness("--dry-run", seeds="[0]")
    assert narrower.stdout.splitlines()[-1] == (
        "would run 1 cells; 0 unsupported; 1 finished before (1 unsupported); 3 records would be moved to superseded/; nothing was written"
    )
    assert contents(tmp_path / "run") == before


def test_what_a_run_would_refuse_is_refused(harness: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert isinstance(harness("--dry-run").exception, NotARun)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"schema_version": 2}, "schema_version 2 is newer than this harness reads (1)"), ({"verdict": "fine"}, "a newer harness has written it: verdict is unknown")],
)
def test_a_record_of_a_newer_harness_is_never_overwritten(harness: Callable[..., Result], tmp_path: Path, change: dict[str, object], reason: str) -> None:
    harness("--only", "*/wikitext2/*")
    (path,) = (tmp_path / "run" / "records").glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    before = path.read_bytes()
    for arguments in (["--dry-run"], []):
        refused = harness("--only", "*/wikitext2/*", *arguments).exception
        assert isinstance(refused, DataError)
        assert f"{path.name}: {reason}" in str(refused)
        assert "update harness, or give another directory with --out" in str(refused)
    assert path.read_bytes() == before
