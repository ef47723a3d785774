"""What each scheme cost in quality and saved in memory, against the unquantized weights of the same cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.analysis.columns import Row, describe
from harness.analysis.effects import Sides, paired_difference, paired_ratio, tie_footnote, tie_marks
from harness.analysis.groups import AxisOrder, axes_of, group_by, sample_of
from harness.analysis.layouts import shown_axes
from harness.analysis.pivot import axis_columns, name_entries
from harness.analysis.statistics import Sample
from harness.analysis.table import MISSING, Column, Entry, Table
from harness.analysis.tables import headline, metric_keys
from harness.quantities import Quantity

UNQUANTIZED = "none"
RATIOS = ("memory.peak_vram", "sizes.model_bytes", "training.step_ms.p50")


@dataclass(frozen=True)
class SchemePair:
    """A quantized cell and the unquantized cell that differs from it in nothing else."""

    quantized: Row
    unquantized: Row
    _sides: dict[str, Sides | None] = field(default_factory=dict, compare=False, repr=False)

    def sides(self, quantity: Quantity) -> Sides | None:
        """Its samples, the quantized cell's first; None where one lacks the number or the two were not measured in one way."""
        if quantity.key not in self._sides:  # asked for by every part of a report that tells of schemes
            self._sides[quantity.key] = self._made(quantity)
        return self._sides[quantity.key]

    def _made(self, quantity: Quantity) -> Sides | None:
        ours, theirs = self.quantized.reading(quantity.key), self.unquantized.reading(quantity.key)
        if ours is None or theirs is None or ours.protocol != theirs.protocol or (quantity.quality and self.quantized.random_weights):
            return None
        return sample_of([ours], quantity), sample_of([theirs], quantity)


def scheme_table(rows: Sequence[Row], order: AxisOrder, pairs: Sequence[SchemePair] | None = None) -> Table | None:
    """By scheme and method: change of every headline metric, and of memory, weights and step time in percent.

    None where no quantized cell has an unquantized counterpart. Every number is over pairs of cells that
    differ in the scheme alone (tasks and seeds within a row); metrics of different protocols make no pair. pairs: those of the
    rows, where they are known already.
    """
    pairs = scheme_pairs(rows) if pairs is None else pairs
    if not pairs:
        return None
    quantized = [pair.quantized for pair in pairs]
    varied = shown_axes(quantized, ("seed", "task", "quantization"))
    axes = [axis for axis in varied if axis == "model"] + ["quantization"] + [axis for axis in varied if axis != "model"]
    by_cell = {id(pair.quantized): pair for pair in pairs}
    groups = {
        place: [by_cell[id(row)] for row in found]
        for place, found in group_by(order.sort(quantized, [*axes, "task", "seed"]), axes).items()
    }
    metrics = [describe(key, rows) for key in _headlines(quantized)]
    costs = [describe(key) for key in RATIOS]
    costs = [cost for cost in costs if any(pair.sides(cost) for pair in pairs)]
    body = tuple(
        (
            *name_entries(axes, place),
            *(_differences(found, metric) for metric in metrics),
            *(_percent(found, cost) for cost in costs),
            Entry(str(len(found))),
        )
        for place, found in groups.items()
    )
    columns = (*axis_columns(axes), *(Column(f"Δ {metric.label}", unit=metric.unit) for metric in metrics))
    columns += (*(Column(f"Δ {cost.label}", unit="%") for cost in costs), Column("pairs", names=True))
    note = "Against the same cell with unquantized weights; mean over pairs of cells (tasks and seeds), lowest … highest in brackets."
    return Table("schemes", "What a scheme costs and saves", columns, body, (note,), tie_footnote(body))


def scheme_pairs(rows: Sequence[Row]) -> list[SchemePair]:
    """Every quantized cell that went through, with its unquantized counterpart, which has no swept field of the scheme's."""
    ran = [row for row in rows if row.ok]
    axes = [axis for axis in axes_of(ran) if axis != "quantization" and not axis.startswith("scheme.")]
    plain = group_by([row for row in ran if _scheme(row) == UNQUANTIZED], axes)
    found = group_by([row for row in ran if _scheme(row) != UNQUANTIZED], axes)
    return [SchemePair(row, plain[place][0]) for place, group in found.items() if place in plain for row in group]


def _scheme(row: Row) -> str:
    return str(row.config("scheme", "scheme") or row.axes["quantization"])


def _headlines(rows: Sequence[Row]) -> list[str]:
    """The headline metrics of all tasks, each once, in the order in which the tasks report them."""
    wanted = {headline(found) for found in group_by(rows, ["task"]).values()}
    return [key for key in metric_keys(rows) if key in wanted]


def changes(pairs: Sequence[SchemePair], quantity: Quantity) -> list[Sides]:
    """(quantized, unquantized) of every pair that has both, measured in one way."""
    return [sides for pair in pairs if (sides := pair.sides(quantity)) is not None]


def _differences(pairs: Sequence[SchemePair], quantity: Quantity) -> Entry:
    found = changes(pairs, quantity)
    if not found:
        return Entry(MISSING)
    sample = Sample(tuple(ours.mean - theirs.mean for ours, theirs in found))
    return Entry(_with_range(sample, quantity.show_difference), sample, tie_marks(paired_difference(found)))


def _percent(pairs: Sequence[SchemePair], quantity: Quantity) -> Entry:
    found = [(ours, theirs) for ours, theirs in changes(pairs, quantity) if theirs.mean]
    if not found:
        return Entry(MISSING)
    sample = Sample(tuple(100 * (ours.mean / theirs.mean - 1) for ours, theirs in found))
    return Entry(_with_range(sample, _show_percent), sample, tie_marks(paired_ratio(found)))


def _show_percent(value: float) -> str:
    whole = round(value)
    return f"{whole:+d} %".replace("-", "−") if whole else "0 %"


def _with_range(sample: Sample, show: Callable[[float], str]) -> str:
    text, low, high = show(sample.mean), show(min(sample.values)), show(max(sample.values))
    return text if low == high else f"{text} ({low} … {high})"
