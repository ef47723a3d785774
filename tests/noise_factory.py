"""Run directories with repeats, of constructed records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from record_factory import write_run

from harness.analysis.noise import measure_noise
from harness.records.noise import REPEATS, write_noise
from harness.records.schema import Record


def repeated_run(folder: Path, repeats: Sequence[Sequence[Record]], suite: str | None = None) -> Path:
    """A run directory: the first repeat's records in it, the others' below it."""
    write_run(folder, repeats[0], suite)
    for number, records in enumerate(repeats[1:], start=2):
        write_run(folder / REPEATS / str(number), records)
    return folder


def noisy_run(folder: Path, cells: Callable[[int], Sequence[Record]], repeats: int, suite: str | None = None) -> Path:
    """The same with its noise.json; cells: the records of one repeat."""
    run = repeated_run(folder, [cells(number) for number in range(repeats)], suite)
    write_noise(run, measure_noise(run))
    return run
