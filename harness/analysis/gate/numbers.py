"""Every number that both sides have, ready to be judged: a quantity of one configuration, its seeds in pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.analysis.columns import Reading, Row, described, device_name
from harness.analysis.gate.matching import Pair
from harness.analysis.groups import axes_of, group_by, sample_of
from harness.analysis.noise import QUANTIZING
from harness.analysis.statistics import Sample
from harness.quantities import Quantity
from harness.suite.gate import Gate


@dataclass(frozen=True)
class Number:
    """One quantity of one configuration. pairs: its cells, a pair per seed, both of which have the number."""

    quantity: Quantity
    pairs: tuple[Pair, ...]

    @property
    def task(self) -> str:
        """What the cells are trained and evaluated on."""
        return self.pairs[0].left.record.cell.task

    @property
    def left(self) -> Sample:
        """The baseline's values, one per seed."""
        return sample_of([pair.left.readings[self.quantity.key] for pair in self.pairs], self.quantity)

    @property
    def right(self) -> Sample:
        """The run's."""
        return sample_of([pair.right.readings[self.quantity.key] for pair in self.pairs], self.quantity)

    @property
    def difference(self) -> float:
        """The run's mean less the baseline's, in the quantity's stored unit."""
        return self.right.mean - self.left.mean

    @property
    def protocol(self) -> str | None:
        """How the baseline measured it."""
        return self.pairs[0].left.readings[self.quantity.key].protocol


def configurations(pairs: Sequence[Pair]) -> list[tuple[Pair, ...]]:
    """The pairs of cells by configuration: those that differ in their seed alone stand together."""
    axes = [axis for axis in axes_of(pair.left for pair in pairs) if axis != "seed"]
    by_id = {pair.left.record.cell.id: pair for pair in pairs}
    groups = group_by([pair.left for pair in pairs], axes).values()
    return [tuple(by_id[row.record.cell.id] for row in rows) for rows in groups]


def numbers(pairs: Sequence[Pair], gate: Gate) -> Iterator[Number]:
    """Every number to be judged: of cells that went through on both sides, not ignored by the gate; random weights have no quality."""
    rows = [row for pair in pairs for row in (pair.left, pair.right)]
    quantities: dict[str, Quantity] = {}
    for group in configurations([pair for pair in pairs if pair.left.ok and pair.right.ok]):
        for key in dict.fromkeys(key for pair in group for key in pair.left.readings):
            quantity = quantities.get(key) or quantities.setdefault(key, described(key, rows))
            having = tuple(pair for pair in group if _both(pair, key) and not (quantity.quality and pair.left.random_weights))
            if having and not gate.limit(quantity).ignore:
                yield Number(quantity, having)


def finite(reading: Reading | None) -> bool:
    """Whether there is a number that one can compute with."""
    return reading is not None and reading.value is not None and math.isfinite(reading.value)


def _both(pair: Pair, key: str) -> bool:
    if not (finite(pair.left.readings.get(key)) and finite(pair.right.readings.get(key))):
        return False
    return key not in QUANTIZING or all(row.record.quantized_here for row in (pair.left, pair.right))



def same_way(pair: Pair, key: str) -> bool:
    """Whether both sides measured the number in one way, the device aside."""
    ours, theirs = (_without_device(row, row.readings[key].protocol) for row in (pair.left, pair.right))
    return ours == theirs


def _without_device(row: Row, protocol: str | None) -> str | None:
    return None if protocol is None else protocol.replace(f" on {device_name(row.record)}", "")
