"""`measure.fit`: when the cells have ended, trials in fresh processes find the largest batch and the longest sequence that fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.methods.base import SizedMethod
from harness.models.facts import read_facts
from harness.quantities import QUANTITIES
from harness.records.parts import Status
from harness.records.schema import Environment, Fit, Record, Trial
from harness.records.store import RecordStore
from harness.runs.assemble import record_of
from harness.runs.attempts import Before
from harness.runs.events import Event
from harness.runs.executors.base import Execution, Executor, Work
from harness.runs.fit_search import Largest, Search, largest, length_unit
from harness.runs.resume import awaits_fit
from harness.runs.stop import Stop
from harness.runs.trial_cell import trial_of
from harness.suite.cell import Cell

#: Longest sequence tried where neither the suite nor the model says one.
LONGEST = 8192
#: A loss that is not finite is noticed after the steps: they went through, whatever they computed.
FITTED: frozenset[Status] = frozenset({"ok", "diverged"})

Attempt = Callable[[int, int], Record | None]


class FitSearches:
    """The searches that cells of a run still wait for. They are made one after the other, trial by trial, when no cell runs:
    whatever else is in memory would count."""

    def __init__(self, run: Path, store: RecordStore, where: Environment, say: Callable[[str], None], wanted: bool = True) -> None:
        """say: told, in a sentence each, what the trials find. wanted: whether any are made."""
        self.waiting: list[tuple[Cell, Record]] = []
        self._run, self._store, self._where, self._say, self._wanted = run, store, where, say, wanted

    def add(self, cell: Cell, record: Record) -> None:
        """Has the cell's search made, where its record waits for one and searches are made at all."""
        if self._wanted and awaits_fit(record):
            self.waiting.append((cell, record))

    def make(self, executor: Executor, stop: Stop) -> None:
        """Makes the searches and adds what each finds to its cell's record. One that a stop ends leaves its record as it is, and
        is made when the run is gone on with. Raises StorageError."""
        while self.waiting and not stop.starts_no_more:
            cell, record = self.waiting[0]
            self._say(f"{cell.labels}: searching what fits")
            search = CellSearch(cell, partial(self._attempt, executor, stop, cell), self._say)
            fit = search.run()
            if fit is None:
                return
            notes = list(dict.fromkeys([*record.notes, *search.notes]))
            self._store.write(record.model_copy(update={"fit": fit, "notes": notes}))
            self.waiting.pop(0)

    def _attempt(self, executor: Executor, stop: Stop, cell: Cell, batch_size: int, max_length: int) -> Record | None:
        """The record that the trial would have; None where it was stopped."""
        watcher = _TrialWatcher(self._say)
        executor.run(Work([trial_of(cell, batch_size, max_length)], self._run, self._where.device), watcher, stop)
        return None if watcher.execution is None else record_of(watcher.execution, self._where, Before())


class CellSearch:
    """The search for one cell. notes: what its record must tell of it."""

    def __init__(self, cell: Cell, attempt: Attempt, say: Callable[[str], None]) -> None:
        self.notes: list[str] = []
        self._cell, self._attempt, self._say = cell, attempt, say
        self._records: dict[tuple[int, int], Record] = {}
        self._stopped = False

    def run(self) -> Fit | None:
        """What was found; None where the run was stopped meanwhile."""
        settings, own = self._cell.config.measure.fit, self._cell.config.train.per_device_train_batch_size
        assert settings is not None, "asked for"
        length, bound = self._lengths(settings.max_length)
        batch = self._largest("largest batch size", largest(own, max(settings.batch_size, 1)), lambda size: (size, length))
        sequence = self._largest("longest sequence", largest(length, bound, length_unit(bound)), lambda size: (own, size))
        if self._stopped:
            return None
        trials = [_trial(*size, record) for size, record in self._records.items()]
        sources = [record.memory.peak_vram_source for record in self._records.values() if record.memory.peak_vram_source]
        return Fit(
            batch_size=batch.size, batch_size_is_bound=batch.is_bound, max_length=sequence.size, max_length_is_bound=sequence.is_bound,
            source=sources[-1] if sources else None, trials=trials,
        )  # fmt: skip

    def _lengths(self, asked: int | None) -> tuple[int, int]:
        """The cell's own max_length and the longest to try, within what the method leaves of the model's context."""
        facts, method, chosen = read_facts(self._cell.config.model), self._cell.config.method, self._cell.chosen
        if chosen is not None and isinstance(method, SizedMethod):
            method = method.with_size(chosen.size)
        context = None if facts is None or facts.context is None else facts.context - method.virtual_tokens
        length = self._cell.config.train.max_length
        if context is None:
            return length, asked or max(LONGEST, length)
        return min(length, context), min(asked or context, context)

    def _largest(self, what: str, search: Search, at: Callable[[int], tuple[int, int]]) -> Largest:
        """The result of the search; a trial that ends for another reason than memory ends it without one."""
        if self._stopped:
            return Largest(None)
        try:
            size = next(search)
            while True:
                record = self._tried(*at(size))
                if record is None:
                    self._stopped = True
                    return Largest(None)
                status = record.outcome.status
                if status not in FITTED and status != "oom":
                    self.notes.append(f"fit: no {what}, because {_words(*at(size))} ended for another reason than memory: {status}, {record.outcome.message}")
                    return Largest(None)
                size = search.send(status in FITTED)
        except StopIteration as end:
            found: Largest = end.value
            return found

    def _tried(self, batch_size: int, max_length: int) -> Record | None:
        """The trial at that size, made once."""
        known = self._records.get((batch_size, max_length))
        if known is not None:
            return known
        record = self._attempt(batch_size, max_length)
        if record is not None:
            self._records[batch_size, max_length] = record
            peak = QUANTITIES["memory.peak_vram"].show(record.memory.peak_vram)
            verdict = "fit" if record.outcome.status in FITTED else record.outcome.status
            self._say(f"{self._cell.labels}: {_words(batch_size, max_length)}: {verdict} ({peak})")
        return record


class _TrialWatcher:
    """Keeps what became of a trial; see executors.base.Watcher."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.execution: Execution | None = None
        self._say = say

    def cell_started(self, cell: Cell) -> None:
        """The trial is told of when it has ended."""

    def cell_event(self, cell: Cell, event: Event) -> None:
        """Its phases are the cell's over again."""

    def cell_ended(self, execution: Execution) -> None:
        """It is through."""
        self.execution = execution

    def stopping(self, at_once: bool) -> None:
        """What the trials have found is found again."""
        self._say("stopping: the search for what fits is made again when the run is gone on with")


def _trial(batch_size: int, max_length: int, record: Record) -> Trial:
    return Trial(
        batch_size=batch_size, max_length=max_length, status=record.outcome.status, peak_bytes=record.memory.peak_vram, total_bytes=record.room
    )


def _words(batch_size: int, max_length: int) -> str:
    return f"{batch_size} x {max_length} tokens"
