"""What makes a run and a baseline not comparable: each can be allowed by its name, and none is passed over in silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from harness.analysis.columns import described
from harness.analysis.gate.matching import Matching, Pair
from harness.analysis.gate.numbers import finite, same_way
from harness.analysis.gate.sides import Side
from harness.suite.gate import Gate

Difference = Literal["device", "protocol", "definition", "unfinished"]
DIFFERENCES: tuple[Difference, ...] = get_args(Difference)
MOST_NAMED = 4


@dataclass(frozen=True)
class Obstacle:
    """Why the sides do not compare, and under which name that can be allowed."""

    kind: Difference
    sentence: str


def obstacles(left: Side, right: Side, matching: Matching, gate: Gate) -> list[Obstacle]:
    """All that stands against comparing the run (right) with the baseline (left)."""
    return [*_unfinished(left, right), *_device(left, right), *_definitions(matching), *_protocols([*matching.pairs, *matching.redefined], gate)]


def _unfinished(left: Side, right: Side) -> Iterator[Obstacle]:
    for what, side in (("baseline", left), ("run", right)):
        if side.to_come:
            total = side.to_come + len(side.damaged) + len(side.rows)
            yield Obstacle("unfinished", f"the {what} {side.name} is not finished: {side.to_come} of {total} cells have no record; it is still going, or was stopped")
        if what == "baseline" and side.damaged:
            yield Obstacle("unfinished", f"{len(side.damaged)} records of the baseline cannot be read, such as {side.damaged[0].path}: {side.damaged[0].reason}")


def _device(left: Side, right: Side) -> Iterator[Obstacle]:
    if left.rows and right.rows and left.devices != right.devices:
        yield Obstacle("device", f"measured on different devices: {', '.join(left.devices)} against {', '.join(right.devices)}")


def _definitions(matching: Matching) -> Iterator[Obstacle]:
    """One sentence for each set of changed fields, with the cells that it holds for."""
    by_change: dict[tuple[str, ...], list[Pair]] = {}
    for pair in matching.redefined:
        by_change.setdefault(pair.changed, []).append(pair)
    for changed, pairs in by_change.items():
        more = f" and {len(pairs) - 1} more cells" if len(pairs) > 1 else ""
        fields = "; ".join(changed[:MOST_NAMED]) + (f"; {len(changed) - MOST_NAMED} more fields" if len(changed) > MOST_NAMED else "")
        yield Obstacle("definition", f"the definition of {pairs[0].left.name()}{more} was changed: {fields}")


def _protocols(pairs: Sequence[Pair], gate: Gate) -> Iterator[Obstacle]:
    found: dict[tuple[str, str | None, str | None], int] = {}
    for pair in pairs:
        for key, reading in pair.left.readings.items():
            if finite(reading) and finite(pair.right.readings.get(key)) and not same_way(pair, key) and _judged(pair, key, gate):
                way = key, reading.protocol, pair.right.readings[key].protocol
                found[way] = found.get(way, 0) + 1
    for (key, ours, theirs), cells in found.items():
        yield Obstacle("protocol", f"{key} was measured in different ways in {cells} cell{'s' if cells > 1 else ''}: {ours} against {theirs}")


def _judged(pair: Pair, key: str, gate: Gate) -> bool:
    return not gate.limit(described(key, [pair.left, pair.right])).ignore
