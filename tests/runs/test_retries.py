"""Cells that are tried again within a run, and runs that stop starting cells: what is limited, recorded and said."""

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
from harness.suite.retries import Retries


@pytest.fixture
def go_on(tmp_path: Path) -> Callable[..., tuple[Recorder, Silent]]:
    """go_on(*cells, retries=, max_failures=, jobs=): runs cells through the real executor into tmp_path."""

    def run(*cells: Any, jobs: int = 1, **limits: Any) -> tuple[Recorder, Silent]:
        display, stop = Silent(), Stop()
        recorder = Recorder(tmp_path, RecordStore(tmp_path), environment("cpu"), display, jobs, len(cells), **limits)
        recorder.go_on(cells, False, LocalExecutor(), stop)
        stop.close()
        return recorder, display

    return run


def test_a_cell_is_tried_again_after_the_others_and_its_record_says_why(tiny_model: Path, go_on: Any, tmp_path: Path) -> None:
    flaky, good = drill_cell(tiny_model, "third-time", traces=str(tmp_path)), drill_cell(tiny_model)

    recorder, display = go_on(flaky, good, retries=Retries(failed=2))

    record = RecordStore(tmp_path).read(flaky.id)
    assert record is not None
    assert (record.outcome.status, record.outcome.retries) == ("ok", 2)
    assert [(each.status, each.phase, each.message) for each in record.outcome.earlier] == [
        ("failed", "attach", "ConnectionError: attempt 1: no answer"),
        ("failed", "attach", "ConnectionError: attempt 2: no answer"),
    ]
    assert record.outcome.earlier[0].ended <= record.outcome.earlier[1].ended <= record.started
    assert list(display.recorded) == [good.id, flaky.id], "the others first"
    assert [reason for _, reason in display.again] == [
        f"tried again because it ended as failed (retries.failed: {number} of 2)" for number in (1, 2)
    ]
    assert (recorder.summary.statuses["ok"], recorder.summary.exit_code) == (2, 0)


@pytest.mark.slow
def test_each_outcome_has_a_limit_of_its_own(tiny_model: Path, go_on: Any, tmp_path: Path) -> None:
    broken = drill_cell(tiny_model, "error")
    full = drill_cell(tiny_model, "memory-error")
    slow = drill_cell(tiny_model, "sleep", limits={"phase_seconds": {"attach": 0.2}})
    nan = drill_cell(tiny_model, "diverged")

    recorder, _ = go_on(broken, full, slow, nan, retries=Retries(failed=1, oom=1))

    found = {cell.id: RecordStore(tmp_path).read(cell.id) for cell in (broken, full, slow, nan)}
    assert {id_: (record.outcome.status, record.outcome.retries) for id_, record in found.items() if record} == {
        broken.id: ("failed", 1), full.id: ("oom", 1), slow.id: ("timeout", 0), nan.id: ("diverged", 0),
    }  # fmt: skip
    assert sum(recorder.summary.statuses.values()) == 4, "a cell counts once, however often it was tried"

    go_on(broken, full, slow, nan, retries=Retries(failed=1, oom=1))
    again = RecordStore(tmp_path).read(broken.id)
    assert again is not None
    assert (again.outcome.retries, len(again.outcome.earlier)) == (3, 3), "a repeated command has as many attempts again"
    memory = RecordStore(tmp_path).read(full.id)
    assert memory is not None
    assert memory.outcome.retries == 1, "out of memory is a result: a repeated command does not try it again"


def test_no_further_cell_is_started_after_max_failures_and_a_repeat_goes_on(tiny_model: Path, go_on: Any, tmp_path: Path) -> None:
    bad = [drill_cell(tiny_model, "error", name=str(number)) for number in range(2)]
    good = [drill_cell(tiny_model, name=str(number)) for number in range(2)]

    recorder, display = go_on(bad[0], good[0], bad[1], good[1], max_failures=2, retries=Retries(failed=1))

    assert list(display.recorded) == [good[0].id, bad[1].id]
    assert display.notes == ["no further cell is started: 2 failed or took too long (--max-failures 2)"]
    assert recorder.summary.interrupted
    assert recorder.summary.exit_code == 1
    assert RecordStore(tmp_path).read(good[1].id) is None

    repaired = [replace(cell, config=replace(cell.config, method=good[0].config.method)) for cell in bad]
    again, display = go_on(repaired[0], good[0], repaired[1], good[1], max_failures=2)
    assert display.to_run == [bad[0].id, bad[1].id, good[1].id]
    assert (again.summary.statuses["ok"], again.summary.interrupted, again.summary.exit_code) == (4, False, 0)


@pytest.mark.slow
def test_cells_in_progress_come_to_their_end_when_no_more_are_started(tiny_model: Path, go_on: Any) -> None:
    bad, slow = drill_cell(tiny_model, "error"), drill_cell(tiny_model, name="slow", seconds=1.0)
    _, display = go_on(slow, bad, drill_cell(tiny_model, name="never"), max_failures=1, jobs=2)
    assert {id_: record.outcome.status for id_, record in display.recorded.items()} == {bad.id: "failed", slow.id: "ok"}


@pytest.mark.slow
def test_a_failure_that_was_mended_by_a_retry_does_not_count(tiny_model: Path, go_on: Any, tmp_path: Path) -> None:
    flaky = drill_cell(tiny_model, "second-time", traces=str(tmp_path))
    recorder, _ = go_on(flaky, drill_cell(tiny_model, "error"), max_failures=3, retries=Retries(failed=1))
    assert not recorder.summary.interrupted
    assert recorder.summary.statuses == {"ok": 1, "failed": 1}
