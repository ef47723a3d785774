"""Which cell of a run is which of the baseline: by id. A cell at the same place with another id is another definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.columns import Row
from harness.analysis.groups import axes_of, group_by

RUNTIME = ("train.logging_steps", "measure.sample_ms", "limits.cell_seconds", "limits.phase_seconds")  # cannot change a result


@dataclass(frozen=True)
class Pair:
    """One cell on both sides. changed: fields of its definition that differ, `train.learning_rate 0.005 → 0.05`; none where ids agree."""

    left: Row
    right: Row
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matching:
    """All cells of both sides. redefined: same place, other id. gone: of the baseline alone; new: of the run alone."""

    pairs: tuple[Pair, ...]
    redefined: tuple[Pair, ...]
    gone: tuple[Row, ...]
    new: tuple[Row, ...]


def match(left: Sequence[Row], right: Sequence[Row]) -> Matching:
    """Pairs the baseline's cells (left) with the run's."""
    by_id = {row.record.cell.id: row for row in right}
    pairs = [Pair(row, by_id[row.record.cell.id]) for row in left if row.record.cell.id in by_id]
    taken = {pair.right.record.cell.id for pair in pairs}
    axes = axes_of([*left, *right])
    places = group_by([row for row in right if row.record.cell.id not in taken], axes)
    alone = group_by([row for row in left if row.record.cell.id not in by_id], axes)
    redefined = [Pair(row, places[place][0], tuple(changed_fields(row, places[place][0]))) for place, (row, *_) in alone.items() if place in places]
    taken |= {pair.right.record.cell.id for pair in redefined}
    gone = [row for place, rows in alone.items() if place not in places for row in rows]
    return Matching(tuple(pairs), tuple(redefined), tuple(gone), tuple(row for row in right if row.record.cell.id not in taken))


def changed_fields(left: Row, right: Row) -> Iterator[str]:
    """The fields of the configuration that differ, with both values; a sentence where none does (content of local files, version of the ids)."""
    ours, theirs = (dict(_leaves(row.record.cell.config)) for row in (left, right))
    found = [key for key in dict.fromkeys([*ours, *theirs]) if ours.get(key) != theirs.get(key) and key not in RUNTIME]
    yield from (f"{key} {_words(ours, key)} → {_words(theirs, key)}" for key in found)
    if not found:
        yield "no field of the configuration: content of local files, or how ids are made"


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _words(values: Mapping[str, Any], key: str) -> str:
    return str(values[key]) if key in values else "absent"
