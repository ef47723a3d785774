"""What a person sees while a suite runs."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.cli.pace import Pace, group_of
from harness.cli.progress import Lines, LiveTable, display_on
from harness.methods.base import METHODS
from harness.models.base import ModelConfig
from harness.quantization.base import SCHEMES
from harness.records.schema import Environment, Outcome, Record
from harness.runs.events import PhaseStarted, Progress
from harness.suite.cell import Cell, CellConfig, Labels
from harness.suite.settings import LimitSettings, MeasureSettings, TrainSettings
from harness.tasks.base import TASKS

WHERE = Environment(device="cpu", python="3.11", platform="Linux", host="here", harness="0.1")
RUN = Path("results/demo/now")


def cell(number: int, task: str = "rte", model: str = "tiny") -> Cell:
    config = CellConfig(
        model=ModelConfig(source="micro:encoder"),
        scheme=SCHEMES.get("none")(scheme="none"),
        method=METHODS.get("full")(method="full"),
        task=TASKS.get("glue/rte")(task="glue/rte"),
        train=TrainSettings(),
        measure=MeasureSettings(),
        limits=LimitSettings(),
    )
    return Cell(id=f"c{number}", suite="demo", profile=None, labels=Labels(model, "none", "full", task, number), config=config, untuned_ids=("u",))


def record(of: Cell, seconds: float = 10.0, status: Any = "ok", **outcome: Any) -> Record:
    now = datetime.now(UTC)
    return Record(
        cell=of.record_part(), outcome=Outcome(status=status, **outcome), environment=WHERE, started=now - timedelta(seconds=seconds), finished=now
    )


def shown(table: LiveTable) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(table.render())
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def console() -> Console:
    """A console that is no terminal."""
    return Console(file=io.StringIO(), width=200)


def test_lines_tell_every_event_but_not_every_step(console: Console) -> None:
    first, second = cell(0), cell(1)
    lines = Lines(console)
    lines.begin(RUN, [first, second], [], jobs=1)
    lines.cell_started(first)
    lines.cell_event(first, PhaseStarted("train", 0.0))
    for done in range(100):
        lines.cell_event(first, Progress(done, 100))
    for phase in ("evaluate_dev", "train"):
        lines.cell_event(first, PhaseStarted(phase, 0.0, interrupts=True))
    lines.cell_recorded(first, record(first, 75, "failed", phase="train", message="ValueError: no [red]rows[/red]"))
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "run directory results/demo/now: 2 cells to run",
        "[1/2] tiny / none / full / rte / seed 0: started",
        "[1/2] tiny / none / full / rte / seed 0: train",
        "[1/2] tiny / none / full / rte / seed 0: failed in train: ValueError: no [red]rows[/red] (1:15)",
    ]


def test_the_table_shows_phase_step_and_what_is_left(console: Console) -> None:
    table = LiveTable(console)
    cells = [cell(number) for number in range(4)]
    table.begin(RUN, cells, [], jobs=1)
    table.cell_started(cells[0])
    table.cell_recorded(cells[0], record(cells[0], 100))
    table.cell_started(cells[1])
    table.cell_event(cells[1], PhaseStarted("train", 0.0))
    table.cell_event(cells[1], Progress(12, 60))
    text = shown(table)
    assert "12/60" in text
    assert "train" in text
    assert "1 of 4 cells" in text
    assert "about 5:00 left" in text or "about 4:59 left" in text


def test_a_table_of_thousands_of_cells_is_a_screenful_and_quick(console: Console) -> None:
    table = LiveTable(console)
    cells = [cell(number) for number in range(5000)]
    table.begin(RUN, cells, [], jobs=2)
    for one in cells[:2000]:
        table.cell_started(one)
        table.cell_recorded(one, record(one))
    table.cell_started(cells[2000])
    begun = datetime.now(UTC)
    text = shown(table)
    assert datetime.now(UTC) - begun < timedelta(seconds=0.5)
    assert len(text.splitlines()) < 24
    assert "2000 of 5000 cells" in text


def test_a_failure_stays_on_the_screen(console: Console) -> None:
    table = LiveTable(console)
    table.begin(RUN, [cell(0)], [], jobs=1)
    table.cell_recorded(cell(0), record(cell(0), status="timeout", phase="load", message="took longer than limits.cell_seconds: 5 s"))
    assert "timeout in load: took longer than" in console.file.getvalue()  # type: ignore[attr-defined]


def test_pace_is_the_median_of_cells_alike_and_unknown_without_any() -> None:
    pace = Pace()
    rte, sst2, cola = (group_of(cell(5, task)) for task in ("rte", "sst2", "cola"))
    assert pace.left({}, {rte: 1}, jobs=1) is None
    for seconds in (10, 900, 20):
        pace.add(rte, "ok", seconds)
    pace.add(sst2, "ok", 100)
    pace.add(cola, "failed", 5000)
    assert pace.seconds(rte) == pytest.approx(20)
    assert pace.seconds(sst2) == pytest.approx(100)
    assert pace.seconds(cola) == pytest.approx(60), "of all that went through"
    assert pace.left({"c5": (sst2, 30.0)}, {rte: 3, cola: 0}, jobs=2) == pytest.approx((70 + 3 * 20) / 2)


def test_a_cell_that_is_tried_again_waits_again_and_counts_once(console: Console) -> None:
    table = LiveTable(console)
    cells = [cell(0), cell(1)]
    table.begin(RUN, cells, [], jobs=1)
    table.cell_started(cells[0])
    table.cell_again(cells[0], record(cells[0], status="failed", message="no answer"), "tried again because it ended as failed (retries.failed: 1 of 1)")
    text = shown(table)
    assert "0 of 2 cells" in text
    assert text.count("waiting") == 2
    assert "failed: no answer (10.0 s): tried again because" in console.file.getvalue()  # type: ignore[attr-defined]
    table.cell_started(cells[0])
    table.cell_recorded(cells[0], record(cells[0], 100))
    text = shown(table)
    assert "1 of 2 cells" in text
    assert "about 1:40 left" in text


def test_the_display_suits_the_console() -> None:
    with display_on(Console(file=io.StringIO())) as display:
        assert isinstance(display, Lines)
    with display_on(Console(file=io.StringIO(), force_terminal=True)) as display:
        assert isinstance(display, LiveTable)
