"""A/A: the same cells run several times with nothing changed, so that what differs is noise.

The first repeat is the run directory itself, an ordinary run. The others are run directories of their own below it,
<run>/noise/2, 3, ..., each with its own records and its own shared/. Repeats come one after the other, each over
all cells, so that a machine that drifts shows it. Every cell has a fresh process, as in any run, and within a repeat
nothing is taken from another one: no evaluation of an untuned model, and no quantized weights either, which an ordinary run
takes from the user's cache. What fits (`measure.fit`) is searched in the first repeat alone: a search is many trials and no number
that repeats could tell the noise of.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import DataError, RequestError
from harness.measure.environment import machine
from harness.records.noise import NOISE, REPEATS, read_noise
from harness.runs.cache import quantized_weights_folder
from harness.runs.directory import RunFacts, new_run, runs_like
from harness.runs.run import FAILURES, Display, RunOptions, RunSummary, run_suite
from harness.suite.schema import Suite

FEWEST = 2


@dataclass(frozen=True)
class Repeats:
    """What became of the repeats, in their order; run: the directory of the first. Stopped, the last one was not finished."""

    run: Path
    summaries: tuple[RunSummary, ...]

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before the end."""
        return any(summary.interrupted for summary in self.summaries)

    @property
    def exit_code(self) -> int:
        """1 when a cell of any repeat failed or took too long, or it was stopped; else 0."""
        return max(summary.exit_code for summary in self.summaries)


def run_repeats(suite: Suite, options: RunOptions, repeats: int, display: Callable[[], AbstractContextManager[Display]]) -> Repeats:
    """Runs what is left of `repeats` repeats of the suite's cells.

    options.out: None for `choose_run`'s. display: shows one repeat. Raises RequestError for fewer than two repeats, and what
    `run_suite` raises.
    """
    if repeats < FEWEST:
        raise RequestError(f"--repeats {repeats}: noise is what repeats differ by; that takes at least {FEWEST}")
    run = options.out or choose_run(suite, options)
    summaries: list[RunSummary] = []
    for number in range(1, repeats + 1):
        folder = run if number == 1 else run / REPEATS / str(number)
        with display() as shown:
            shown.note(f"repeat {number} of {repeats}")
            summaries.append(run_suite(suite, replace(options, out=folder, own_weights=True, searches=number == 1), shown))
        if summaries[-1].interrupted:
            break
        shutil.rmtree(quantized_weights_folder(folder / "shared"), ignore_errors=True)
    return Repeats(run, tuple(summaries))


def choose_run(suite: Suite, options: RunOptions) -> Path:
    """The newest run of this suite, profile and device below <results>/<suite>/noise that is not finished, or a new one. Writes nothing."""
    device = "cuda" if machine(options.device).device == "cuda" else "cpu"
    facts = RunFacts(suite=suite.name, profile=suite.profile, device=device, planned={})
    folder = options.results / suite.name / REPEATS
    return next((run for run, _ in runs_like(facts, folder) if not _is_finished(run)), None) or new_run(folder)


def _is_finished(run: Path) -> bool:
    """Whether the floors are there, and no repeat of a cell is missing or may yet go through."""
    try:
        noise = read_noise(run / NOISE)
    except DataError:  # none yet, or one that is to be written again
        return False
    return not any(status is None or status in FAILURES for cell in noise.cells for status in cell.statuses)
