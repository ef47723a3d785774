"""The two sides of a comparison: a run directory, or a baseline by its name or its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.columns import Row, device_name, row
from harness.analysis.run import read_run
from harness.errors import RequestError, UnknownName
from harness.records.baseline import REFERENCE, BaselineCell, baseline_file, baseline_files, read_baseline
from harness.records.noise import Noise, RepeatedCell
from harness.records.store import Damaged
from harness.suite.schema import Suite


@dataclass(frozen=True)
class Side:
    """What is compared. waiting: planned cells without a record; None where that is not known, 0 for a baseline.

    suite: of a run that has kept it, else suite_problem says why not. noise: of A/A repeats, None where there were none. saved: who made it a baseline, in words.
    """

    name: str
    rows: tuple[Row, ...]
    noise: Noise | None = None
    waiting: int | None = 0
    damaged: tuple[Damaged, ...] = ()
    suite: Suite | None = None
    suite_problem: str | None = None
    saved: str | None = None

    @property
    def devices(self) -> list[str]:
        """The devices that it was measured on, sorted."""
        return sorted({device_name(each.record) for each in self.rows})

    @property
    def to_come(self) -> int:
        """How many planned cells have no record yet, those apart whose record is there and cannot be read."""
        return max((self.waiting or 0) - len(self.damaged), 0)


def run_side(path: Path) -> Side:
    """A run directory; raises NotARun for a directory that is none, RequestError for one without any record."""
    run = read_run(path)
    if not run.rows and not run.damaged:
        raise RequestError(f"{path} holds no record yet: there is nothing to compare")
    return Side(str(path), run.rows, run.noise, run.waiting, run.damaged, run.suite, run.suite_problem)


def baseline_side(given: str, beside: Side, reference: Path = REFERENCE) -> Side:
    """The run directory, the baseline's file, or the baseline of that name for the device that `beside` was measured on.

    Raises RequestError where nothing is there, or only for other devices; DataError for a damaged file.
    """
    path = Path(given)
    if path.is_dir():
        return run_side(path)
    if path.is_file():
        return _of_device(path, read_baseline(path), beside)
    if path.suffix == ".jsonl" or len(path.parts) > 1:
        raise RequestError(f"there is no run and no baseline at {path}")
    files = baseline_files(reference, given)
    own = [file for file in files if any(file == baseline_file(given, each.record.environment, reference) for each in beside.rows)]
    if not files:
        raise UnknownName("baseline", given, {file.stem for file in baseline_files(reference)})
    file = (own or files)[0]
    return _of_device(file, read_baseline(file), beside)


def _of_device(path: Path, cells: Sequence[BaselineCell], beside: Side) -> Side:
    """The cells of the other side's device; those of all devices where there are none, which is refused later by its name."""
    own = [cell for cell in cells if cell.device in beside.devices] or list(cells)
    saved = max((cell.saved for cell in own), key=lambda each: each.when)
    words = f"saved by {saved.who} on {saved.when:%Y-%m-%d %H:%M} from {saved.run}"
    return Side(str(path), tuple(row(cell.record) for cell in own), _noise(own), saved=words)


def _noise(cells: Sequence[BaselineCell]) -> Noise | None:
    """The repeats that the lines keep, as `harness noise` had written them."""
    repeated = [cell for cell in cells if cell.repeated]
    if not repeated:
        return None
    most = max(found.n for cell in repeated for found in cell.repeated.values())
    record = repeated[0].record
    return Noise(
        suite=record.cell.suite, profile=record.cell.profile, device=repeated[0].device, repeats=most, made=max(cell.saved.when for cell in repeated),
        environment=record.environment, cells=[_repeated(cell, most) for cell in repeated],
    )  # fmt: skip


def _repeated(cell: BaselineCell, repeats: int) -> RepeatedCell:
    part = cell.record.cell
    return RepeatedCell(
        id=part.id, model=part.model, quantization=part.quantization, method=part.method, task=part.task, seed=part.seed, sweep=part.sweep,
        statuses=[cell.record.outcome.status] * repeats, quantities=cell.repeated,
    )  # fmt: skip
