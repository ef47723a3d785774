"""Thousands of cells: the run's own process keeps its memory and its file descriptors, and its display answers at once.

Sizes are the CI's; HARNESS_CELLS=2000 runs as many cells in processes of their own, HARNESS_RECORDS=2000 records as many.
"""

from __future__ import annotations

import io
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from rich.live import Live

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from drill_cells import drill_cell, write_model

from harness.cli.progress import LiveTable
from harness.measure.environment import environment
from harness.records.schema import CellResult, Environment, Metric, Outcome, Record
from harness.records.store import RecordStore
from harness.runs.events import PhaseStarted, Progress
from harness.runs.executors.base import Execution, Executor, Watcher, Work
from harness.runs.executors.local import LocalExecutor
from harness.runs.run import Recorder
from harness.runs.stop import Stop

MIB = 2**20
INSTANT = int(os.environ.get("HARNESS_RECORDS", "150"))
REAL = int(os.environ.get("HARNESS_CELLS", "60"))
ITEMS = 5000  # questions of a metric: 150 such records take 27 MiB


def allowed(cells: int) -> int:
    """Bytes: 50 MiB for 2,000 cells, and never less than what an allocator takes at once."""
    return max(16 * MIB, 50 * MIB * cells // 2000)


class Instant(Executor):
    """Ends every cell at once, with a large result: only what the run itself keeps of it counts."""

    def run(self, work: Work, watcher: Watcher, stop: Stop) -> None:
        """See Executor.run."""
        for cell in work.cells:
            watcher.cell_started(cell)
            watcher.cell_event(cell, PhaseStarted("evaluate", 0.0))
            watcher.cell_event(cell, Progress(1, 2))
            items = [float(item) for item in range(ITEMS)]
            metric = Metric(name="accuracy", value=0.5, items=items, n=ITEMS, higher_is_better=True, split="test", protocol="counting/1")
            now = datetime.now(UTC)
            watcher.cell_ended(Execution(cell, Outcome(status="ok"), now, now, [], CellResult(metrics=[metric])))


class Watched(LiveTable):
    """The table that a person sees, and this process's memory and descriptors after every cell."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO(), force_terminal=True, width=120))
        self.process = psutil.Process()
        self.seen: list[tuple[int, int]] = [self._now()]

    def cell_recorded(self, cell: Any, record: Record) -> None:
        """See Display."""
        super().cell_recorded(cell, record)
        self.seen.append(self._now())

    def _now(self) -> tuple[int, int]:
        return self.process.memory_info().rss, self.process.num_fds()

    def growth(self) -> tuple[int, int]:
        """Bytes, and descriptors, from the first tenth of the cells to the last one; the highest of each end."""
        tenth = max(1, len(self.seen) // 10)
        first, last = self.seen[:tenth], self.seen[-tenth:]
        bytes_, descriptors = ([max(seen[which] for seen in part) for part in (first, last)] for which in (0, 1))
        return bytes_[1] - bytes_[0], descriptors[1] - descriptors[0]


def run(folder: Path, executor: Executor, count: int) -> tuple[Watched, Recorder, float]:
    """That many cells; the display, the recorder, and seconds."""
    model = folder / "model"
    cells = [drill_cell(model, name=str(number)) for number in range(count)]
    display, stop, begun = Watched(), Stop(), time.monotonic()
    recorder = Recorder(folder, RecordStore(folder), environment("cpu"), display, 1, count)
    recorder.go_on(cells, False, executor, stop)
    stop.close()
    return display, recorder, time.monotonic() - begun


def test_memory_and_descriptors_do_not_grow_with_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Callable[..., None]) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # the disk's pace is not asked here
    display, recorder, seconds = run(tmp_path, Instant(), INSTANT)
    assert recorder.summary.statuses["ok"] == INSTANT
    grown, descriptors = display.growth()
    assert grown < allowed(INSTANT), f"{grown / MIB:.0f} MiB"
    assert descriptors == 0
    before = psutil.Process().memory_info().rss
    _, recorder, _ = run(tmp_path, Instant(), INSTANT)
    assert recorder.summary.reused == INSTANT
    kept = psutil.Process().memory_info().rss - before
    assert kept < allowed(INSTANT), f"{kept / MIB:.0f} MiB of the records of finished cells"
    ledger(
        area="long runs", check=f"records of {ITEMS:,} items each, through the recorder and the display: memory and descriptors flat",
        tried=INSTANT, survived=INSTANT, seconds=seconds, note=f"{grown / MIB:.1f} MiB more, {kept / MIB:.1f} MiB for going on; {descriptors} descriptors",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_memory_and_descriptors_do_not_grow_with_cells_in_processes_of_their_own(tmp_path: Path, ledger: Callable[..., None]) -> None:
    write_model(tmp_path / "model")
    display, recorder, seconds = run(tmp_path, LocalExecutor(), REAL)
    assert recorder.summary.statuses["ok"] == REAL
    grown, descriptors = display.growth()
    assert grown < allowed(REAL), f"{grown / MIB:.0f} MiB"
    assert descriptors <= 0
    ledger(
        area="long runs", check="cells in processes of their own: memory and descriptors of the run flat", tried=REAL,
        survived=recorder.summary.statuses["ok"], seconds=seconds, note=f"{grown / MIB:.1f} MiB and {descriptors} descriptors more",
    )  # fmt: skip


def test_the_display_of_10000_cells_answers_at_once(tmp_path: Path, ledger: Callable[..., None]) -> None:
    """CPU seconds, so that the machine's other work does not count."""
    chance = random.Random(0)
    cells = [drill_cell(tmp_path, name=str(number)) for number in range(10_000)]
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=50)
    table = LiveTable(console)
    where = Environment(device="cpu", python="3.11", platform="Linux", host="here", harness="0.1")
    now = datetime.now(UTC)
    record = Record(cell=cells[0].record_part(), outcome=Outcome(status="ok"), environment=where, started=now, finished=now)
    updates = renders = 0.0
    shown = 0
    with Live(console=console, get_renderable=table.render, auto_refresh=False, transient=True) as live:
        table.begin(Path("run"), cells, [], jobs=2)
        for number, cell in enumerate(cells[:-1]):
            ended = record.model_copy(update={"finished": now + timedelta(seconds=chance.uniform(1, 1000))})
            begun = time.process_time()
            table.cell_started(cell)
            table.cell_event(cell, PhaseStarted("train", 0.0))
            table.cell_event(cell, Progress(1, 10))
            table.cell_recorded(cell, ended)
            updates += time.process_time() - begun
            if number % 500 == 0:
                begun = time.process_time()
                live.refresh()
                renders += time.process_time() - begun
                shown += 1
    assert updates / len(cells) < 0.005
    assert renders / shown < 0.1, "it is drawn twice a second"
    ledger(
        area="long runs", check="updates of the progress table over 10,000 cells, and its drawings", tried=len(cells) - 1 + shown, survived=len(cells) - 1 + shown,
        seconds=updates + renders, note=f"{1000 * renders / shown:.1f} ms of CPU a drawing, {1e6 * updates / len(cells):.0f} µs an update",
    )  # fmt: skip
