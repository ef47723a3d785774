"""What happened to cells beside their numbers: another outcome, gone, a number that is no more, other rows read, stored otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis.columns import Row, describe, described
from harness.analysis.gate.matching import Matching, Pair
from harness.analysis.gate.numbers import finite
from harness.records.parts import Status
from harness.records.schema import Record
from harness.records.store import Damaged
from harness.suite.gate import Gate

Kind = Literal[
    "out of memory", "failed", "diverged", "timeout", "unsupported", "vanished", "unreadable", "number lost", "other data", "other weights",
    "stored otherwise", "not run", "recovered", "other outcome", "cost not measured",
]  # fmt: skip
STATUS_KINDS: dict[Status, Kind] = {"oom": "out of memory", "failed": "failed", "diverged": "diverged", "timeout": "timeout", "unsupported": "unsupported"}
NO_RESULT: frozenset[Status] = frozenset({"failed", "timeout"})  # running out of memory is a result of a cell, and so is diverging: these are none
REGRESSIONS: frozenset[Kind] = frozenset({*STATUS_KINDS.values(), "vanished", "unreadable", "number lost", "other data", "other weights"})


@dataclass(frozen=True)
class Event:
    """cell: its id on the baseline's side. row: the baseline's. sentence: what happened, without the cell's name."""

    cell: str
    row: Row | None
    kind: Kind
    sentence: str

    @property
    def regression(self) -> bool:
        """Whether it is one by its kind alone."""
        return self.kind in REGRESSIONS

    @property
    def place(self) -> str:
        """The cell in words; its id where nothing else is known of it."""
        return self.row.name() if self.row is not None else self.cell


def events(matching: Matching, pairs: Sequence[Pair], damaged: Sequence[Damaged], unfinished: bool, gate: Gate) -> list[Event]:
    """Everything that happened. pairs: the cells that are compared. unfinished: the run has cells to come, so that none has vanished."""
    unreadable = {each.path.stem: each for each in damaged}
    found = [event for pair in pairs for event in _of_pair(pair, gate)]
    for row in matching.gone:
        id_ = row.record.cell.id
        if id_ in unreadable:
            found.append(Event(id_, row, "unreadable", f"its record {unreadable[id_].reason}"))
        elif unfinished:
            found.append(Event(id_, row, "not run", "it has no record yet"))
        else:
            found.append(Event(id_, row, "vanished", "the baseline has it and the run does not"))
    return found


def _of_pair(pair: Pair, gate: Gate) -> Iterator[Event]:
    id_, before, now = pair.left.record.cell.id, pair.left.record.outcome, pair.right.record.outcome
    if before.status != now.status and (before.status == "ok" or (before.status not in NO_RESULT and now.status in NO_RESULT)):
        where = f" in {now.phase}" if now.phase else ""
        said = f": {now.message.splitlines()[0]}" if now.message else ""
        yield Event(id_, pair.left, STATUS_KINDS[now.status], f"{before.status} → {now.status}{where}{said}")
    elif before.status != "ok" and now.status == "ok":
        yield Event(id_, pair.left, "recovered", f"{before.status} → ok")
    elif before.status != now.status:
        yield Event(id_, pair.left, "other outcome", f"{before.status} → {now.status}")
    if before.status == now.status == "ok":
        yield from _lost(pair, gate)
        yield from _stored(pair)
    if not pair.changed:
        yield from _data(pair)


def _lost(pair: Pair, gate: Gate) -> Iterator[Event]:
    """Numbers that the baseline has and the run does not: scores are a regression, costs (energy, which a driver refuses) are told."""
    rows = [pair.left, pair.right]
    costs = []
    for key, reading in pair.left.readings.items():
        if not finite(reading) or finite(pair.right.readings.get(key)):
            continue
        quantity = described(key, rows)
        if gate.limit(quantity).ignore or (quantity.quality and pair.left.random_weights):
            continue
        found = pair.right.readings.get(key)
        if quantity.quality:
            what = "is undefined or not finite" if found is not None else "was not computed"
            yield Event(pair.left.record.cell.id, pair.left, "number lost", f"{quantity.label} {quantity.show(reading.value)} → {what}")
        else:
            costs.append(quantity.label)
    if costs:
        yield Event(pair.left.record.cell.id, pair.left, "cost not measured", f"no longer measured: {', '.join(costs)}")


def _stored(pair: Pair) -> Iterator[Event]:
    """Weights held otherwise than before although the cell asks for the same: in other bits, which is another subject, or in other layers."""
    ours, theirs = pair.left.record, pair.right.record
    before, now = (_storage(record) for record in (ours, theirs))
    bytes_before, bytes_now = ours.sizes.model_bytes, theirs.sizes.model_bytes
    if before == now and (not bytes_before or not bytes_now or bytes_before == bytes_now):
        return
    kind: Kind = "stored otherwise" if before[0] == now[0] or pair.changed else "other weights"
    size = describe("sizes.model_bytes")
    yield Event(ours.cell.id, pair.left, kind, f"weights are stored otherwise: {_words(before)} → {_words(now)}, {size.show(bytes_before)} → {size.show(bytes_now)}")


def _storage(record: Record) -> tuple[int | None, tuple[str, ...]]:
    """Whole bits per weight, constants left aside (None: not quantized), and the layers' classes."""
    stored = record.quantization
    return (None, ()) if stored is None else (int(stored.bits_per_weight), tuple(sorted(stored.kernels)))


def _words(storage: tuple[int | None, tuple[str, ...]]) -> str:
    return "unquantized" if storage[0] is None else f"{storage[0]} bit in {', '.join(storage[1])}"


def _data(pair: Pair) -> Iterator[Event]:
    """Rows that differ in content or order though nothing in the cell's definition says so."""
    theirs = {(use.role, use.task, use.split): use for use in pair.right.record.data}
    for use in pair.left.record.data:
        now = theirs.get((use.role, use.task, use.split))
        if now is not None and now.sha256 != use.sha256:
            rows = f"{use.rows} rows" if now.rows == use.rows else f"{use.rows} → {now.rows} rows"
            yield Event(pair.left.record.cell.id, pair.left, "other data", f"the {use.role} rows of {use.task} ({use.split}, {rows}) are other ones, or stand in another order")
