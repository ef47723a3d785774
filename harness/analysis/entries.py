"""What stands at a place of a result table: mean ± sample standard deviation over seeds, outcomes, marks, the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from string import ascii_lowercase

from harness.analysis.columns import Row
from harness.analysis.effects import TIE_MARK
from harness.analysis.groups import samples
from harness.analysis.pivot import Pivot, Place
from harness.analysis.statistics import Sample, difference
from harness.analysis.table import MISSING, Entry, show_sample
from harness.quantities import Quantity
from harness.records.parts import Status

RANDOM_MARK = "‡"
RANDOM_TEXT = "random weights"
RANDOM_NOTE = "the model's weights are random: memory and speed are measured, quality would say nothing"
BEST_NOTE = "Bold: best of its column; where others tie with it, they are bold too."
TIE_BEST_NOTE = "the difference to the best of the column is within the noise: a tie (docs/noise.md of the harness)"
INTERVAL_NOTE = "In square brackets: 95 % interval, over the items evaluated; of a cost, over A/A repeats."


def fill_column(table: Pivot, column: Place, letters: Mapping[str | None, str], with_n: bool) -> list[Entry]:
    """The entries of one column, the best marked; letters: protocol -> mark, where several protocols share it."""
    found = [measured_entry(table.at(row, column), table.quantity, letters, with_n) for row in table.row_places]
    return found if letters else mark_best(found, table.quantity)


def protocol_letters(protocols: Sequence[str | None]) -> dict[str | None, str]:
    """protocol -> footnote mark: a, b, ... z, a2, b2, ..."""
    return {
        protocol: ascii_lowercase[at % 26] + (str(at // 26 + 1) if at >= 26 else "") for at, protocol in enumerate(protocols)
    }


def mark_best(column: Sequence[Entry], quantity: Quantity) -> list[Entry]:
    """The column with its best entry bold, and all that tie with it bold and marked; none where the noise is unknown."""
    measured = [(at, entry.sample) for at, entry in enumerate(column) if entry.sample is not None]
    if quantity.higher_is_better is None or len(measured) < 2:
        return list(column)
    sign = 1.0 if quantity.higher_is_better else -1.0
    best, sample = max(measured, key=lambda item: sign * item[1].mean)
    ties = {at: difference(sample, other).within_noise for at, other in measured if at != best}
    if None in ties.values():
        return list(column)
    marked = list(column)
    marked[best] = replace(column[best], best=True)
    for at in (at for at, tie in ties.items() if tie):
        marked[at] = replace(column[at], best=True, marks=(*column[at].marks, TIE_MARK))
    return marked


def same_n(found: Sequence[Entry]) -> int | None:
    """The number of seeds that all measured entries share; None where they differ or none has more than one."""
    counts = {entry.sample.n for entry in found if isinstance(entry.sample, Sample)}
    return counts.pop() if len(counts) == 1 and max(counts) > 1 else None


def measured_entry(rows: Sequence[Row], quantity: Quantity, letters: Mapping[str | None, str], with_n: bool = True) -> Entry:
    """The cells of one place: their mean, outcomes other than ok, and a mark where `letters` has their protocol."""
    if not rows:
        return Entry(MISSING)
    broken = Counter(row.record.outcome.status for row in rows if not row.ok)
    found = samples(rows, quantity)
    if not found:
        return _without_numbers(rows, quantity, broken)
    outcomes = f" ({', '.join(f'{count} {status}' for status, count in sorted(broken.items()))})" if broken else ""
    if len(found) == 1:
        (protocol, sample), = found.items()
        marks = (letters[protocol],) if letters else ()
        return Entry(show_sample(sample, quantity, with_n or bool(broken)) + outcomes, sample, marks)
    parts = [f"{show_sample(sample, quantity)} ({letters.get(protocol, protocol)})" for protocol, sample in sorted(found.items(), key=lambda item: item[0] or "")]
    return Entry("; ".join(parts) + outcomes)


def _without_numbers(rows: Sequence[Row], quantity: Quantity, broken: Mapping[Status, int]) -> Entry:
    if broken:
        return Entry(", ".join(status if len(broken) == 1 else f"{count} {status}" for status, count in sorted(broken.items())))
    if quantity.quality and any(row.random_weights for row in rows):
        return Entry(RANDOM_TEXT, marks=(RANDOM_MARK,))
    undefined = any(quantity.key in row.readings and quantity.quality for row in rows)
    return Entry("undefined" if undefined else MISSING)
