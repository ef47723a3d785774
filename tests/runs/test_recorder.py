"""From what an executor reports to records on disk, summary and exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drill_cells import drill_cell
from silent import Silent

from harness.measure.environment import environment
from harness.records.store import RecordStore
from harness.runs.executors.local import LocalExecutor
from harness.runs.run import Recorder
from harness.runs.stop import Stop


@pytest.fixture
def go_on(tmp_path: Path) -> Callable[..., tuple[Recorder, Silent]]:
    """Runs cells through the real executor into tmp_path."""

    def run(*cells: Any, jobs: int = 1, fresh: bool = False) -> tuple[Recorder, Silent]:
        display = Silent()
        recorder = Recorder(tmp_path, RecordStore(tmp_path), environment("cpu"), display, jobs, len(cells))
        recorder.go_on(cells, fresh, LocalExecutor(), Stop())
        return recorder, display

    return run


def test_a_record_holds_what_was_measured_and_a_failure_is_tried_again(tiny_model: Path, go_on: Any, tmp_path: Path) -> None:
    good, bad, impossible = drill_cell(tiny_model), drill_cell(tiny_model, "segfault"), drill_cell(tiny_model, "error")
    impossible = replace(impossible, unsupported="needs a CUDA device")

    recorder, display = go_on(good, bad, impossible)

    store = RecordStore(tmp_path)
    record = store.read(good.id)
    assert record is not None
    assert record.outcome.status == "ok"
    assert set(record.timing.phases) == {"load", "evaluate", "attach"}
    assert record.memory.peak_vram_source == "host_rss"
    assert record.memory.phases["load"].host_rss
    assert "the drill has begun" in record.notes
    assert record.started < record.finished
    fallen = store.read(bad.id)
    assert fallen is not None
    assert fallen.metrics[0].value == 0.5, "what a cell had measured before it fell"
    refused = store.read(impossible.id)
    assert refused is not None
    assert (refused.outcome.status, refused.outcome.message) == ("unsupported", "needs a CUDA device")
    assert not (tmp_path / "cells" / impossible.id).exists(), "no process was started for it"
    assert recorder.summary.exit_code == 1
    assert set(display.recorded) == {good.id, bad.id, impossible.id}

    again, display = go_on(good, bad, impossible)

    assert display.to_run == [bad.id]
    assert again.summary.reused == 2
    fallen = store.read(bad.id)
    assert fallen is not None
    assert fallen.outcome.retries == 1


def test_results_that_are_no_successes_are_no_failures(tiny_model: Path, go_on: Any) -> None:
    recorder, _ = go_on(drill_cell(tiny_model, "memory-error"), drill_cell(tiny_model, "diverged"), jobs=2)
    assert recorder.summary.exit_code == 0
    assert not recorder.summary.interrupted


def test_a_record_says_when_cells_shared_the_machine(tiny_model: Path, go_on: Any) -> None:
    _, display = go_on(drill_cell(tiny_model), jobs=2)
    (record,) = display.recorded.values()
    assert any("2 cells ran at once" in note for note in record.notes)
