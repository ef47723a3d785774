"""What all kinds of claims share: a side's quantity and cells, what forbids a comparison, and how they are named in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis.columns import Row, describe, metric_address
from harness.analysis.comparable import confounded
from harness.analysis.groups import sample_of
from harness.analysis.latency_addresses import require_measured
from harness.analysis.pairs import Pairing, select
from harness.analysis.seeds_needed import Judged, seeds_needed
from harness.analysis.statistics import Difference, Sample
from harness.analysis.verdicts import Verdict
from harness.quantities import Quantity
from harness.suite.schema import Claim, Measured

MORE_ITEMS = "More items evaluated would settle it; nothing was tuned, so that seeds change nothing."


@dataclass(frozen=True)
class CheckedClaim:
    """A claim, its verdict, and why."""

    claim: Claim
    verdict: Verdict
    sentence: str


def quantity_of(side: Measured, rows: Sequence[Row]) -> Quantity:
    """What a side of a claim measures; raises UnknownName for a metric that nobody knows or computed."""
    key = metric_address(side.metric, when=side.when)
    require_measured(key, {address for row in rows for address in row.readings})
    return describe(key, rows)


def sample(rows: Sequence[Row], quantity: Quantity) -> Sample:
    """The readings of those rows as one sample."""
    return sample_of((reading for row in rows if (reading := row.reading(quantity.key)) is not None), quantity)


def objection(pairing: Pairing, left: Quantity, right: Quantity | None, claim: Claim) -> tuple[Verdict, str] | None:
    """Why the cells cannot be compared, or not yet; None where they can. right: None for a plain number."""
    cells = [*pairing.left, *pairing.right]
    if right is not None and (right.style, right.unit) != (left.style, left.unit):
        return "not comparable", f"{left.label} and {right.label} have different units."
    if any(quantity.quality for quantity in (left, right) if quantity) and any(row.random_weights for row in cells):
        return "not comparable", f"Random weights have no quality: {names([row for row in cells if row.random_weights])}."
    broken = [row for row in cells if not row.ok]
    if broken:
        return "inconclusive", f"Not all cells went through: {names(broken)}."
    without = [row for row in pairing.left if row.reading(left.key) is None]
    without += [row for row in pairing.right if right is not None and row.reading(right.key) is None]
    if without:
        return "inconclusive", f"No value of {left.label} for {names(without)}."
    return _mixed_protocols(pairing, left, right) or confounded(pairing, left, claim)


def _mixed_protocols(pairing: Pairing, left: Quantity, right: Quantity | None) -> tuple[Verdict, str] | None:
    for pair in pairing.pairs:
        ours = {_protocol(row, left) for row in pair.left}
        theirs = {_protocol(row, right) for row in pair.right} if right is not None else ours
        if len(ours | theirs) > 1:
            named = " against ".join(", ".join(sorted(side)) for side in (ours, theirs))
            return "not comparable", f"Different protocols: {named}."
    return None


def _protocol(row: Row, quantity: Quantity) -> str:
    reading = row.reading(quantity.key)
    return (reading.protocol if reading else None) or "none"


def difference_words(found: Difference, quantity: Quantity) -> str:
    """`+1.20 [+0.80, +1.60]`."""
    text = quantity.show_difference(found.value)
    if found.interval is None:
        return text
    return f"{text} [{quantity.show_difference(found.interval.low)}, {quantity.show_difference(found.interval.high)}]"


def what_settles(judged: Sequence[Judged], cells: Sequence[Row], quantity: Quantity) -> str:
    """How an inconclusive claim on those cells could be settled: by so many seeds, or by items."""
    if not _seeds_matter(cells, quantity):
        return MORE_ITEMS
    return seeds_needed(judged, len({row.axes["seed"] for row in cells}))


def unknown_noise(cells: Sequence[Row], quantity: Quantity) -> str:
    """Why nothing can be said of a difference without an interval, and what would help."""
    if not _seeds_matter(cells, quantity):
        return "No standard error, and nothing was tuned, so that seeds change nothing: the noise is unknown."
    return f"One measurement and no standard error: the noise is unknown; run more seeds{'' if quantity.quality else ', or measure it with harness noise'}."


def _seeds_matter(cells: Sequence[Row], quantity: Quantity) -> bool:
    """Whether another seed is another number: of a score, only where something was tuned."""
    return not quantity.quality or any(row.record.training is not None for row in cells)


def names(rows: Sequence[Row]) -> str:
    """The first three cells in words, and how many more."""
    named = [f"{row.name()} ({row.record.outcome.status})" if not row.ok else row.name() for row in rows[:3]]
    return "; ".join(named) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")


def nothing_on(side: Measured, which: Literal["left", "right"], rows: Sequence[Row], quantity: Quantity) -> str:
    """Why that side has no cell to compare: none matches, or none that does has the number."""
    if select(rows, side.where):
        return f"No cell of the {which} side ({words(side)}) has {quantity.label}."
    return f"No cell matches the {which} side ({words(side)})."


def words(side: Measured) -> str:
    """Which cells a side selects."""
    return ", ".join(f"{axis}: {pattern}" for axis, pattern in side.where.items()) or "all cells"
