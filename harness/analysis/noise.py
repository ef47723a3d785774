"""Noise floors: from the repeats of a run (A/A) to what two measurements differ by though nothing was changed.

The floor of a number of a cell with n repeats, standard deviation s:

    floor = t(0.975, n - 1) * s * sqrt(2)

Two further single measurements x, y of an unchanged cell differ by N(0, 2 sigma^2), and (x - y) / (s sqrt(2)) is Student's t with
n - 1 degrees of freedom: so |x - y| is above the floor with 5 % probability. Assumed: repeats are independent and normal. With
few repeats s itself is uncertain, and the factor says so: 18.0 s for n = 2, 6.1 s for n = 3, 3.9 s for n = 5, 2.8 s for many.
Source: the repeatability limit of ISO 5725-6:1994, 2.8 sigma_r, with t for an estimated sigma in place of its 1.96.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from harness.analysis.columns import Row, described, device_name, row
from harness.analysis.statistics import Error, mean, sample_std
from harness.errors import DataError, RequestError
from harness.quantities import Quantity
from harness.records.noise import NOISE, REPEATS, Noise, Repeated, RepeatedCell, read_noise
from harness.records.schema import Record
from harness.records.store import RecordStore

FEWEST = 2
QUANTIZING = ("quantization.seconds", "quantization.peak_bytes")  # of the cell that quantized; others read it from the cache


def floor_of_repeats(values: Sequence[float]) -> float:
    """The noise floor by the formula above, in the values' unit; 0 where all are equal. Raises ValueError for fewer than two."""
    return _spread(values).scaled(math.sqrt(2)).reach()


def _spread(values: Sequence[float]) -> Error:
    """Standard deviation of a single measurement, and its degrees of freedom."""
    std = sample_std(values)
    if std is None:
        raise ValueError("a noise floor needs at least two repeats")
    return Error(0.0 if len(set(values)) == 1 else std, len(values) - 1)


def repeats_of(run: Path) -> list[Path]:
    """The run directories of all repeats: the run itself, then those under its noise/ in their order."""
    folder = run / REPEATS
    further = sorted((int(path.name), path) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []
    return [run, *(path for _, path in further)]


def measure_noise(run: Path) -> Noise:
    """The noise of a run from the records of its repeats: of every cell that was run again.

    Raises NotARun where no records are, RequestError where no cell was run again, or on different devices.
    """
    folders = repeats_of(run)
    stores = [RecordStore(folder) for folder in folders]
    first = [row(record) for record in stores[0].read_all()[0]]
    repeated = [[each, *(_read(store, each.record.cell.id) for store in stores[1:])] for each in first]
    repeated = [group for group in repeated if any(group[1:])]
    if not repeated:
        raise RequestError(f"{run} holds one measurement of each cell: noise needs at least {FEWEST}; run harness noise SUITE --out {run}")
    every = [each.record for group in repeated for each in group if each is not None]
    devices = {device_name(record) for record in every}
    if len(devices) > 1:
        raise RequestError(f"the repeats of {run} were measured on different devices: {'; '.join(sorted(devices))}")
    record = every[0]
    return Noise(
        suite=record.cell.suite, profile=record.cell.profile, device=devices.pop(), repeats=len(folders), made=datetime.now(UTC),
        environment=record.environment, cells=[_cell(group) for group in repeated], notes=_changed(every),
    )  # fmt: skip


def _changed(records: Sequence[Record]) -> list[str]:
    """What was not the same in all repeats although it should have been."""
    places = [record.environment for record in records]
    facts: dict[str, set[str | None]] = {
        "driver": {place.driver for place in places},
        "harness": {place.harness for place in places},
        "commit": {place.git.commit if place.git else None for place in places},
    }
    for name in dict.fromkeys(name for place in places for name in place.packages):
        facts[name] = {place.packages.get(name) for place in places}
    differing = [f"{name} {' and '.join(sorted(map(str, found)))}" for name, found in facts.items() if len(found) > 1]
    return [f"the repeats were made with different versions, so that they differ by more than noise: {', '.join(differing)}"] if differing else []


def _read(store: RecordStore, cell_id: str) -> Row | None:
    record = store.read(cell_id)
    return None if record is None else row(record)


def _cell(repeats: Sequence[Row | None]) -> RepeatedCell:
    part = next(each.record.cell for each in repeats if each is not None)
    through = [each for each in repeats if each is not None and each.ok]
    notes = [] if len(through) == len(repeats) else [f"{len(through)} of {len(repeats)} repeats went through"]
    if len(through) < FEWEST:
        notes.append(f"no floors: that takes {FEWEST}")
    quantities = {}
    for key in dict.fromkeys(key for each in through for key in each.readings):
        found = _repeated(through, key)
        if isinstance(found, Repeated):
            quantities[key] = found
        elif found is not None:
            notes.append(found)
    return RepeatedCell(
        id=part.id, model=part.model, quantization=part.quantization, method=part.method, task=part.task, seed=part.seed, sweep=part.sweep,
        statuses=[None if each is None else each.record.outcome.status for each in repeats], quantities=quantities, notes=notes,
    )  # fmt: skip


def _repeated(rows: Sequence[Row], key: str) -> Repeated | str | None:
    """The number's repeats; None where fewer than two have it, a sentence where they were measured in different ways."""
    readings = [each.readings[key] for each in rows if key in each.readings and _own(each, key)]
    found = [(float(each.value), each.protocol) for each in readings if each.value is not None and math.isfinite(each.value)]
    if len(found) < FEWEST:
        return None
    values, ways = [value for value, _ in found], {way for _, way in found}
    if len(ways) > 1:
        return f"{key}: no floor, measured in different ways: {'; '.join(sorted(map(str, ways)))}"
    centre, floor = mean(values), floor_of_repeats(values)
    relative = floor / abs(centre) if centre else None
    return Repeated(values=values, n=len(values), mean=centre, std=_spread(values).size, floor=floor, relative_floor=relative, protocol=ways.pop())


def _own(found: Row, key: str) -> bool:
    """Whether this cell measured the number itself in this repeat, and did not read it from where another cell left it."""
    return key not in QUANTIZING or found.record.quantized_here


@dataclass(frozen=True)
class Pool:
    """The noise of one number over all its cells.

    task: of a score; None for a cost, which all tasks share. spread: of a single measurement: relative to the value for a cost,
    in the unit of the value for a score. level: mean over the cells. n: measurements of all cells together.
    """

    quantity: Quantity
    task: str | None
    spread: Error
    level: float
    cells: int
    n: int

    @property
    def floor(self) -> float:
        """The floor at `level`, in the quantity's unit."""
        return self.around(self.level).scaled(math.sqrt(2)).reach()

    @property
    def relative(self) -> float | None:
        """The floor over the level; None at a level of 0."""
        return self.floor / abs(self.level) if self.level else None

    def around(self, value: float) -> Error:
        """Standard deviation of a single measurement of about that value."""
        return self.spread if self.task is not None else self.spread.scaled(value)


PoolKey: TypeAlias = tuple[str, str | None, str | None]  # address, task of a score, protocol


def pools(noise: Noise) -> dict[PoolKey, Pool]:
    """The noise of every number pooled over the cells that have it, measured in one way.

    Assumes that cells share their noise: relative to the value for costs, absolute and by task for scores. Variances are weighed by
    their degrees of freedom; cells that scatter over the very same values took them from one measurement and count once.
    """
    groups: dict[PoolKey, dict[tuple[float, ...] | str, Repeated]] = {}
    quantities: dict[str, Quantity] = {}
    for cell in noise.cells:
        for key, found in cell.quantities.items():
            quantity = quantities.setdefault(key, described(key))
            if quantity.quality or found.mean:  # nothing is relative to 0
                where = key, cell.task if quantity.quality else None, found.protocol
                once = tuple(found.values) if found.std else cell.id
                groups.setdefault(where, {})[once] = found
    return {where: _pool(quantities[where[0]], where, list(found.values())) for where, found in groups.items()}


def _pool(quantity: Quantity, where: PoolKey, cells: Sequence[Repeated]) -> Pool:
    _, task, _ = where
    degrees = sum(cell.n - 1 for cell in cells)
    sizes = [(cell.std / (1.0 if task is not None else abs(cell.mean)), cell.n - 1) for cell in cells]
    variance = math.fsum(size**2 * freedom for size, freedom in sizes) / degrees
    level = mean([cell.mean for cell in cells])
    return Pool(quantity, task, Error(math.sqrt(variance), degrees, where), level, len(cells), sum(cell.n for cell in cells))


def fitting_noise(place: Path, rows: Sequence[Row]) -> Noise:
    """The noise in that file, or in that run directory's noise.json, for these rows.

    Raises DataError for a file that is absent or cannot be used, RequestError where it is of another suite, profile or device.
    """
    path = place / NOISE if place.is_dir() else place
    if not path.exists():
        raise DataError(f"{path} is not there; harness noise SUITE --out {path.parent} makes it")
    noise = read_noise(path)
    of = {(each.record.cell.suite, each.record.cell.profile) for each in rows}
    if of - {(noise.suite, noise.profile)}:
        theirs = ", ".join(sorted(_suite_words(*each) for each in of))
        raise RequestError(f"{path} is the noise of {_suite_words(noise.suite, noise.profile)}, and the run is of {theirs}: its floors say nothing here")
    devices = {device_name(each.record) for each in rows}
    if devices - {noise.device}:
        raise RequestError(f"{path} was measured on {noise.device}, and the run on {'; '.join(sorted(devices))}: its floors say nothing here")
    return noise


def _suite_words(suite: str, profile: str | None) -> str:
    return f"suite {suite}" + (f" with profile {profile}" if profile else "")


def with_noise(rows: Iterable[Row], noise: Noise) -> Iterator[Row]:
    """The rows, their readings with the spread that A/A repeats showed: of the cell itself where it was repeated, else the pooled one.

    Readings that were made in another way stay without. The noise fits the rows (`fitting_noise`).
    """
    by_id = {cell.id: cell for cell in noise.cells}
    pooled = pools(noise)
    for each in rows:
        yield each.with_repeated(_spreads(each, by_id.get(each.record.cell.id), pooled))


def _spreads(found: Row, cell: RepeatedCell | None, pooled: Mapping[PoolKey, Pool]) -> dict[str, Error]:
    spreads = {}
    for key, reading in found.readings.items():
        own = cell.quantities.get(key) if cell is not None else None
        if own is not None and own.protocol == reading.protocol:
            spreads[key] = Error(own.std, own.n - 1, (key, *own.values))
        elif reading.value is not None:
            pool = pooled.get((key, None, reading.protocol)) or pooled.get((key, found.record.cell.task, reading.protocol))
            if pool is not None:
                spreads[key] = pool.around(reading.value)
    return spreads
