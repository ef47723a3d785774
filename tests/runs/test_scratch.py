"""Temporary files of a run go with it, and those of a run that was killed with the next one; nobody else's do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from drill_cells import drill_cell

from harness.runs import scratch
from harness.runs.events import PhaseStarted

MAKER = """
import sys
from harness.runs.scratch import scratch, scratch_of_a_cell
(scratch_of_a_cell() / "gigabytes").write_text("x")
print(scratch(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def maker() -> subprocess.Popen[str]:
    """A process that has temporary files until its standard input is closed."""
    return subprocess.Popen([sys.executable, "-c", MAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_a_killed_process_left_goes_with_the_next_run_and_what_the_living_have_stays(temporary: Path) -> None:
    with maker() as killed, maker() as living:
        assert killed.stdout is not None
        assert living.stdout is not None
        folders = [Path(process.stdout.readline().strip()) for process in (killed, living) if process.stdout]
        killed.kill()
        killed.wait()
        foreign = temporary / "harness-notes"
        foreign.mkdir()
        scratch.remove_abandoned()
        assert sorted(temporary.iterdir()) == sorted([folders[1], foreign])
    assert list(temporary.iterdir()) == [foreign], "a process that ends takes its own away"


def test_a_cells_temporary_files_go_with_the_cell_that_is_killed(tiny_model: Path, execute: Callable[..., object], tmp_path: Path) -> None:
    def fill(cell: object, event: object) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "attach":
            (folder,) = [path for path in scratch.scratch().iterdir() if path.is_dir() and not path.name.startswith("pymp-")]
            (folder / "gigabytes").write_text("x")

    execute([drill_cell(tiny_model, "sleep", limits={"phase_seconds": {"attach": 1}})], when=fill)
    assert not list(scratch.scratch().rglob("gigabytes"))
