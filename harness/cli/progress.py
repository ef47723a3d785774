"""How a run gets on, for a person: a live table in a terminal, one line per event elsewhere."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.cli.pace import CellGroup, Pace, group_of
from harness.outside import printable, redacted
from harness.records.parts import Status
from harness.records.schema import Record
from harness.runs.events import Event, PhaseStarted, Progress
from harness.runs.resume import Finished
from harness.runs.run import Display
from harness.suite.cell import Cell

REFRESHES_PER_SECOND = 2
JUST_ENDED, COMING_UP = 8, 5
STYLES = {"ok": "green", "oom": "yellow", "diverged": "yellow", "unsupported": "dim", "failed": "red", "timeout": "red"}


@contextmanager
def display_on(console: Console) -> Iterator[Display]:
    """The display that suits the console, from now until the end of the block."""
    if not console.is_terminal:
        yield Lines(console)
        return
    table = LiveTable(console)
    with Live(console=console, get_renderable=table.render, refresh_per_second=REFRESHES_PER_SECOND, transient=True):
        yield table


@dataclass
class Standing:
    """Where a cell in progress stands. started: time.monotonic() seconds."""

    started: float
    phase: str = "starting"
    done: int = 0
    total: int = 0

    def take(self, event: Event) -> None:
        """Follows the cell's own words."""
        if isinstance(event, PhaseStarted):
            self.phase, self.done, self.total = event.phase, 0, 0
        elif isinstance(event, Progress):
            self.done, self.total = event.done, event.total

    def steps(self) -> str:
        """`12/100`, or nothing where the phase does not count."""
        return f"{self.done}/{self.total}" if self.total else ""


class Lines:
    """One line per event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._numbers: dict[str, str] = {}

    def begin(self, run: Path, cells: Sequence[Cell], finished: Sequence[Finished], jobs: int) -> None:
        """See runs.run.Display."""
        before = f", {len(finished)} finished before" if finished else ""
        self.note(f"run directory {run}: {len(cells)} cells to run{before}")
        self._numbers = {cell.id: f"[{number}/{len(cells)}]" for number, cell in enumerate(cells, start=1)}

    def cell_started(self, cell: Cell) -> None:
        """See runs.run.Display."""
        self.note(f"{self._numbers[cell.id]} {cell.labels}: started")

    def cell_event(self, cell: Cell, event: Event) -> None:
        """A line per phase; steps would be too many, and so would interruptions by evaluations of the dev rows."""
        if isinstance(event, PhaseStarted) and not event.interrupts:
            self.note(f"{self._numbers[cell.id]} {cell.labels}: {event.phase}")

    def cell_recorded(self, cell: Cell, record: Record) -> None:
        """See runs.run.Display."""
        self.note(f"{self._numbers[cell.id]} {cell.labels}: {_ending(record)}")

    def cell_again(self, cell: Cell, record: Record, reason: str) -> None:
        """See runs.run.Display."""
        self.note(f"{self._numbers[cell.id]} {cell.labels}: {_ending(record)}: {reason}")

    def note(self, text: str) -> None:
        """See runs.run.Display."""
        self.console.print(printable(redacted(text)), markup=False, highlight=False, soft_wrap=True)


class LiveTable:
    """The cells in progress, the last that ended and the next that come; whatever their number, a screenful."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._cells: dict[str, Cell] = {}
        self._waiting: dict[str, Cell] = {}
        self._running: dict[str, Standing] = {}
        self._waiting_by_group: Counter[CellGroup] = Counter()
        self._just_ended: deque[tuple[str, Status, float]] = deque(maxlen=JUST_ENDED)  # label, outcome, seconds
        self._ended = self._finished_before = 0
        self._jobs = 1
        self._pace = Pace()

    def begin(self, run: Path, cells: Sequence[Cell], finished: Sequence[Finished], jobs: int) -> None:
        """See runs.run.Display."""
        self.note(f"run directory {run}")
        self._cells = {cell.id: cell for cell in cells}
        self._waiting = dict(self._cells)
        self._waiting_by_group = Counter(map(group_of, cells))
        self._finished_before, self._jobs = len(finished), jobs
        for one in finished:
            self._pace.add(group_of(one.cell), one.status, one.seconds)

    def cell_started(self, cell: Cell) -> None:
        """See runs.run.Display."""
        self._no_longer_waits(cell)
        self._running[cell.id] = Standing(time.monotonic())

    def cell_event(self, cell: Cell, event: Event) -> None:
        """See runs.run.Display."""
        self._running[cell.id].take(event)

    def cell_recorded(self, cell: Cell, record: Record) -> None:
        """See runs.run.Display; what is no result stays on the screen."""
        self._no_longer_waits(cell)
        self._running.pop(cell.id, None)
        self._ended += 1
        self._just_ended.append((str(cell.labels), record.outcome.status, _seconds(record)))
        self._pace.add(group_of(cell), record.outcome.status, _seconds(record))
        if record.outcome.status in ("failed", "timeout"):
            self.note(f"{cell.labels}: {_ending(record)}")

    def cell_again(self, cell: Cell, record: Record, reason: str) -> None:
        """See runs.run.Display."""
        self._running.pop(cell.id, None)
        self._waiting[cell.id] = cell
        self._waiting_by_group[group_of(cell)] += 1
        self.note(f"{cell.labels}: {_ending(record)}: {reason}")

    def _no_longer_waits(self, cell: Cell) -> None:
        if self._waiting.pop(cell.id, None) is not None:
            self._waiting_by_group[group_of(cell)] -= 1

    def note(self, text: str) -> None:
        """See runs.run.Display."""
        self.console.print(printable(redacted(text)), markup=False, highlight=False, soft_wrap=True)

    def render(self) -> RenderableType:
        """The screenful as it is now."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading, justify in (("cell", "left"), ("state", "left"), ("steps", "right"), ("time", "right"), ("left", "right")):
            table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        for label, status, seconds in list(self._just_ended):
            table.add_row(Text(label), Text(status, STYLES[status]), "", _clock(seconds), "")
        now = time.monotonic()
        for cell_id, standing in list(self._running.items()):
            spent, expected = now - standing.started, self._pace.seconds(group_of(self._cells[cell_id]))
            left = "" if expected is None or expected < spent else _clock(expected - spent)
            table.add_row(Text(str(self._cells[cell_id].labels)), Text(standing.phase, "bold"), standing.steps(), _clock(spent), left)
        for cell in list(self._waiting.values())[:COMING_UP]:
            table.add_row(Text(str(cell.labels), "dim"), Text("waiting", "dim"), "", "", "")
        return Group(table, self._foot(now))

    def _foot(self, now: float) -> Text:
        running = {cell_id: (group_of(self._cells[cell_id]), now - at.started) for cell_id, at in list(self._running.items())}
        left = self._pace.left(running, dict(self._waiting_by_group), self._jobs)
        parts = [f"{self._ended} of {len(self._cells)} cells"]
        parts += [f"{self._finished_before} finished before"] if self._finished_before else []
        if self._waiting and not self._running and not self._ended:
            parts.append("starting: importing torch and transformers")
        parts += [] if not left else [f"about {_clock(left)} left"]
        return Text(" · ".join(parts), "bold")


def _ending(record: Record) -> str:
    outcome = record.outcome
    where = f" in {outcome.phase}" if outcome.phase else ""
    why = f": {outcome.message}" if outcome.message else ""
    return f"{outcome.status}{where}{why} ({_clock(_seconds(record))})"


def _seconds(record: Record) -> float:
    return (record.finished - record.started).total_seconds()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{seconds:.1f} s"
