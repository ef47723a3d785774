"""Whatever a cell's process does, the run survives and says what it was."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import psutil
import pytest
from collected import Collected
from drill_cells import drill_cell

from harness.runs.events import PhaseStarted, Progress
from harness.runs.executors.base import Work
from harness.runs.executors.local import LocalExecutor
from harness.runs.stop import Stop

FAULTS = [
    ("segfault", "failed", "killed by signal 11 (SIGSEGV)"),
    ("abort", "failed", "killed by signal 6 (SIGABRT)"),
    ("kill", "failed", "killed by signal 9 (SIGKILL)"),
    ("exit", "failed", "exited with code 3"),
    ("exit-silently", "failed", "exited with code 4"),
    ("petabyte", "oom", "DefaultCPUAllocator: can't allocate memory"),
    ("memory-error", "oom", "MemoryError"),
    ("cuda-oom", "oom", "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0"),
    ("error", "failed", "ValueError: a plug was pulled and a second line"),
    ("ansi", "failed", "KeyError: '\\x1b[31mred\\x1b[0m'"),
    ("recursion", "failed", "RecursionError"),
    ("disk-full", "failed", "No space left on device"),
    ("unsupported", "unsupported", "not on a Sunday"),
    ("diverged", "diverged", "loss is nan at step 7"),
    ("shout", "ok", None),
    ("loader", "ok", None),
]


@pytest.fixture(scope="module")
def faulty_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All faults in one run, one after the other; returns the run directory and what was reported."""
    run = tmp_path_factory.mktemp("faults")
    collected = Collected()
    cells = [drill_cell(tiny_model, fault) for fault, _, _ in FAULTS]
    LocalExecutor().run(Work(cells, run, "cpu", jobs=2), collected, Stop())
    return run, collected


@pytest.mark.parametrize(("fault", "status", "message"), FAULTS)
def test_every_fault_becomes_the_outcome_of_its_own_cell(faulty_run: Any, fault: str, status: str, message: str | None) -> None:
    _, collected = faulty_run
    outcome = collected.ended[f"{fault}-x"].outcome
    assert outcome.status == status
    if message is None:
        assert outcome.message is None
    else:
        assert outcome.phase == "attach"
        assert message in outcome.message
        assert "\n" not in outcome.message


def test_a_cell_that_died_keeps_what_it_had_measured(faulty_run: Any) -> None:
    _, collected = faulty_run
    execution = collected.ended["kill-x"]
    assert [reading.phase for reading in execution.readings] == ["load", "evaluate", "attach"], "the phase it died in too"
    assert [metric.value for metric in execution.result.metrics] == [0.5]
    assert execution.telemetry is not None


def test_the_log_holds_what_the_cell_printed_and_where_it_fell(faulty_run: Any) -> None:
    run, _ = faulty_run
    log = (run / "cells" / "segfault-x" / "log.txt").read_text()
    assert "about to fall" in log
    assert "Fatal Python error: Segmentation fault" in log
    assert "_segfault" in log
    assert "ValueError: a plug was pulled" in (run / "cells" / "error-x" / "log.txt").read_text()
    assert (run / "cells" / "shout-x" / "log.txt").stat().st_size >= 10 * 2**20


def test_a_hang_ends_by_the_cell_limit_in_the_phase_it_hung_in(tiny_model: Path, execute: Callable[..., Any], tmp_path: Path) -> None:
    collected = execute([drill_cell(tiny_model, "sleep", limits={"cell_seconds": 6})])
    outcome = collected.ended["sleep-x"].outcome
    assert (outcome.status, outcome.phase) == ("timeout", "attach")
    assert outcome.message == "took longer than limits.cell_seconds: 6 s"
    assert "_sleep" in (tmp_path / "cells" / "sleep-x" / "log.txt").read_text(), "the log says where it hung"


def test_a_phase_has_its_own_limit_and_the_cell_before_it_is_kept(tiny_model: Path, execute: Callable[..., Any]) -> None:
    slow = drill_cell(tiny_model, limits={"phase_seconds": {"evaluate": 1, "load": 60}}, seconds=60)
    collected = execute([slow])
    execution = collected.ended["nothing-x"]
    assert (execution.outcome.status, execution.outcome.phase) == ("timeout", "evaluate")
    assert execution.outcome.message == "took longer than limits.phase_seconds.evaluate: 1 s"
    assert [reading.phase for reading in execution.readings] == ["load", "evaluate"]
    assert 1 <= execution.readings[-1].ended - execution.readings[-1].started < 30


def test_a_cell_that_ignores_sigterm_is_killed(
    tiny_model: Path, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.runs.running_cell.GRACE_SECONDS", 0.5)
    collected = execute([drill_cell(tiny_model, "stubborn", limits={"phase_seconds": {"attach": 1}})])
    assert collected.ended["stubborn-x"].outcome.status == "timeout"


@pytest.mark.parametrize("fault", ["grandchild", "daemon"])
def test_a_grandchild_does_not_outlive_its_cell(tiny_model: Path, execute: Callable[..., Any], tmp_path: Path, fault: str) -> None:
    collected = execute([drill_cell(tiny_model, fault, traces=str(tmp_path))])
    assert collected.ended[f"{fault}-x"].outcome.status == "ok"
    assert not psutil.pid_exists(int((tmp_path / fault).read_text()))


def test_cells_run_at_once_with_jobs(tiny_model: Path, execute: Callable[..., Any]) -> None:
    cells = [drill_cell(tiny_model, name=name, seconds=1.0) for name in "ab"]
    collected = execute(cells, jobs=2)
    first, second = collected.ended.values()
    assert second.started < first.finished


def test_one_stop_ends_the_cell_in_progress_and_starts_no_other(tiny_model: Path, execute: Callable[..., Any]) -> None:
    stop = Stop()

    def ask(cell: Any, event: Any) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "evaluate" and cell.id == "nothing-b":
            stop.request()

    cells = [drill_cell(tiny_model, name="a"), *(drill_cell(tiny_model, name=name, seconds=600) for name in "bc")]
    begun = time.monotonic()
    collected = execute(cells, when=ask, stop=stop)
    assert time.monotonic() - begun < 300
    assert list(collected.ended) == ["nothing-a"]
    assert [cell.id for cell in collected.started] == ["nothing-a", "nothing-b"]
    assert collected.stops == [False]


def test_two_stops_kill_a_cell_that_ignores_the_first(
    tiny_model: Path, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.runs.running_cell.GRACE_SECONDS", 200.0)
    stop = Stop()

    def ask(cell: Any, event: Any) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "attach":
            stop.request()
            stop.request()

    begun = time.monotonic()
    collected = execute([drill_cell(tiny_model, "stubborn")], when=ask, stop=stop)
    assert time.monotonic() - begun < 100, "no grace"
    assert collected.ended == {}


def test_a_run_that_waits_uses_no_processor_time(tiny_model: Path, execute: Callable[..., Any]) -> None:
    before = time.process_time()
    execute([drill_cell(tiny_model, seconds=2.0)])
    assert time.process_time() - before < 0.5


class Jumping(datetime):
    """A wall clock that is set back by an hour whenever somebody looks."""

    looked = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Jumping:
        cls.looked += 1
        return cls(2026, 1, 1, tzinfo=tz) - timedelta(hours=cls.looked)


def test_a_wall_clock_that_jumps_leaves_a_cell_its_duration(tiny_model: Path, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.runs.running_cell.datetime", Jumping)
    (execution,) = execute([drill_cell(tiny_model)]).ended.values()
    assert 0 < (execution.finished - execution.started).total_seconds() < 600


def test_progress_reaches_the_watcher(tiny_model: Path, execute: Callable[..., Any]) -> None:
    collected = execute([drill_cell(tiny_model, seconds=2.0)])
    assert any(isinstance(event, Progress) and event.total == 10 for _, event in collected.events)


def test_no_descriptor_and_no_process_is_left(tiny_model: Path, execute: Callable[..., Any]) -> None:
    execute([drill_cell(tiny_model, name="first")])
    descriptors = set(os.listdir("/proc/self/fd"))
    children = {child.pid for child in psutil.Process().children()}
    execute([drill_cell(tiny_model, name=name) for name in "abc"])
    assert len(os.listdir("/proc/self/fd")) <= len(descriptors) + 2  # a Stop's pipe, closed with the garbage
    assert {child.pid for child in psutil.Process().children()} == children


def test_what_a_killed_cell_kept_for_a_while_goes_with_it(tiny_model: Path, execute: Callable[..., Any], tmp_path: Path) -> None:
    left = tmp_path / "cells" / "sleep-x" / ".merged-abc.tmp" / "model"

    def keep(cell: Any, event: Any) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "attach":
            left.mkdir(parents=True)
            (left / "model.safetensors").write_bytes(b"gigabytes")

    collected = execute([drill_cell(tiny_model, "sleep", limits={"phase_seconds": {"attach": 1}})], when=keep)
    assert collected.ended["sleep-x"].outcome.status == "timeout"
    assert not left.parent.exists()
    assert (tmp_path / "cells" / "sleep-x" / "log.txt").exists()
