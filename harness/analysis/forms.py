"""What becomes of a tuned model that is merged, and quantized again: quality, memory, weights and speed of every form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.columns import FORM_WHENS, Row, describe, metric_address
from harness.analysis.cost import cost_entry
from harness.analysis.effects import tie_footnote
from harness.analysis.entries import measured_entry
from harness.analysis.groups import AxisOrder, group_by, one_sample
from harness.analysis.layouts import shared_note, shown_axes
from harness.analysis.pivot import axis_columns, name_entries
from harness.analysis.table import MISSING, Column, Entry, Table
from harness.analysis.tables import headline
from harness.analysis.throttling import throttled_footnote
from harness.analysis.tuning import change_entry
from harness.quantities import Quantity
from harness.records.parts import Form

COSTS = ("memory.evaluate_peak", "sizes.model_bytes", "latency.ttft_ms.p50", "latency.tpot_ms.p50")


@dataclass(frozen=True)
class FormAddresses:
    """Where a form's numbers are: the suffix of its metrics, and its costs in the order of COSTS."""

    form: Form
    peak: str
    weights: str

    @property
    def when(self) -> str:
        """The suffix of its metrics and latencies."""
        return FORM_WHENS[self.form]

    @property
    def costs(self) -> tuple[str, ...]:
        """Addresses of its costs."""
        return self.peak, self.weights, f"latency.ttft_ms.p50:{self.when}", f"latency.tpot_ms.p50:{self.when}"


FORMS = (
    FormAddresses("unmerged", "memory.evaluate_peak", "sizes.model_bytes"),
    FormAddresses("merged", "memory.evaluate_merged_peak", "sizes.merged_bytes"),
    FormAddresses("merged-requantized", "memory.evaluate_requantized_peak", "sizes.requantized_bytes"),
)


def form_table(rows: Sequence[Row], order: AxisOrder) -> Table | None:
    """The headline metric and the costs of every form of every configuration; None where no cell has another form than as trained.

    The change is against the same cells as trained, taken seed by seed.
    """
    keys = {task: headline(found) for (task,), found in group_by(rows, ["task"]).items()}
    having = [row for row in rows if row.ok and any(_has(row, keys[row.axes["task"]], form) for form in FORMS[1:])]
    if not having:
        return None
    axes = shown_axes(having)
    shown = [at for at in range(len(COSTS)) if any(row.reading(form.costs[at]) for row in having for form in FORMS)]
    body = []
    for place, found in group_by(order.sort(having, [*axes, "seed"]), axes).items():
        key = keys[found[0].axes["task"]]
        assert key is not None, "a row with a form has a headline metric"
        for form in FORMS:
            with_form = [row for row in found if _has(row, key, form)]
            if with_form:
                costs = (cost_entry(with_form, describe(form.costs[at])) for at in shown)
                body.append((*name_entries(axes, place), Entry(form.form), *_quality(with_form, key, form), *costs))
    columns = (*axis_columns(axes), Column("form", names=True), Column("metric", names=True), Column("value"), Column("change"))
    costs_shown = [describe(COSTS[at]) for at in shown]
    columns += tuple(Column(cost.label, unit=cost.unit) for cost in costs_shown)
    notes = [*shared_note(having, axes), "Change: against the same cells as trained (unmerged), taken seed by seed."]
    return Table("forms", "What merging and quantizing again change", columns, tuple(body), tuple(notes), tie_footnote(body) | throttled_footnote(body))


def _quality(rows: Sequence[Row], key: str, form: FormAddresses) -> tuple[Entry, ...]:
    """The metric's name, its value in that form, and its change."""
    quantity = _quantity(rows, key, form)
    name = Entry(describe(key, rows).label)
    both = [row for row in rows if _has(row, key, FORMS[0])]
    value = measured_entry(rows, quantity, {})
    before, after = one_sample(both, _quantity(both, key, FORMS[0])), one_sample(both, quantity)
    if form is FORMS[0] or before is None or after is None:
        return name, value, Entry(MISSING)
    return name, value, change_entry(before, after, quantity)


def _quantity(rows: Sequence[Row], key: str, form: FormAddresses) -> Quantity:
    return describe(metric_address(key, when=form.when), rows)


def _has(row: Row, key: str | None, form: FormAddresses) -> bool:
    return key is not None and row.reading(metric_address(key, when=form.when)) is not None
