"""How fast configurations answer: a table per kind of latency, forms by batch size and prompt length, beside their base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.analysis.columns import Row, describe
from harness.analysis.effects import TIE_MARK, paired_difference
from harness.analysis.entries import measured_entry
from harness.analysis.groups import AxisOrder, axes_of, group_by, sample_of, samples
from harness.analysis.latency_addresses import LATENCY_WHENS, size_words
from harness.analysis.layouts import shared_note, shown_axes
from harness.analysis.pivot import axis_columns, name_entries
from harness.analysis.statistics import Sample, mean
from harness.analysis.table import MISSING, Column, Entry, Table
from harness.analysis.throttling import throttled_footnote, throttled_marks
from harness.records.parts import LatencyForm
from harness.suite.latency import size_of, size_part

TIMES = {
    "latency.ttft_ms": "Latency of the first token (prefill)",
    "latency.tpot_ms": "Latency of every further token",
    "latency.e2e_ms": "Latency end to end",
    "batch_latency.batch_ms": "Latency of a batch",
}
FORMS: tuple[LatencyForm, ...] = ("base", "unmerged", "merged", "merged-requantized")  # in the order of the rows
UNTUNED: tuple[LatencyForm, ...] = ("base", "unmerged")  # what a cell that tunes nothing calls its only form; older ones: unmerged
TIE_MEANING = (
    "a tie with the base: within the 95 % interval over seeds or A/A repeats; where there are neither, within what repetitions of one measurement "
    "differ by (90th percentile less median)"
)


@dataclass(frozen=True)
class _Times:
    """What repetitions of one measurement took, in milliseconds: their median, how far the 90th percentile lies above it, and by which clock."""

    sample: Sample
    spread: float
    clock: str | None

    @property
    def median(self) -> float:
        return self.sample.mean

    @classmethod
    def of(cls, row: Row, key: str, part: str, form: LatencyForm) -> _Times | None:
        """Those of a form at one size; None where it was not measured."""
        p50, p90 = (row.reading(_address(key, percentile, part, form)) for percentile in ("p50", "p90"))
        if p50 is None or p90 is None or p50.value is None or p90.value is None:
            return None
        return cls(sample_of([p50], describe(_address(key, "p50", part, form))), p90.value - p50.value, p50.protocol)


@dataclass(frozen=True)
class Above:
    """One form's times beside those of its base, at one size."""

    ours: _Times
    base: _Times


def latency_tables(rows: Sequence[Row], order: AxisOrder) -> Iterator[Table]:
    """A table for every kind of latency that any cell which went through has."""
    ran = [row for row in rows if row.ok]
    for key, title in TIMES.items():
        having = [row for row in ran if row.reading(f"{key}.p50")]
        if having:
            yield _table(key, title, having, order)


def _table(key: str, title: str, rows: Sequence[Row], order: AxisOrder) -> Table:
    axes, parts = shown_axes(rows), _parts(key, rows)
    body = []
    for place, found in group_by(order.sort(rows, [*axes, "seed"]), axes).items():
        for form in FORMS:
            with_form = [row for row in found if any(row.reading(_address(key, "p50", part, form)) for part in parts)]
            if with_form:
                entries = (_entry(with_form, rows, key, part, form) for part in parts)
                body.append((*name_entries(axes, place), Entry(_shown(form, with_form)), *entries))
    columns = (*axis_columns(axes), Column("form", names=True), *(Column(size_words(part), unit="ms") for part in parts))
    tied = {TIE_MARK: TIE_MEANING} if any(TIE_MARK in entry.marks for line in body for entry in line) else {}
    return Table(key.replace(".", "-").replace("_", "-"), title, columns, tuple(body), tuple(_notes(key, rows, axes)), tied | throttled_footnote(body))


def _parts(key: str, rows: Sequence[Row]) -> list[str]:
    """The sizes that any cell was measured at, from small to large."""
    beginning = f"{key}.p50:"
    parts = {address.removeprefix(beginning).partition(":")[0] for row in rows for address in row.readings if address.startswith(beginning)}
    sizes = {size_of(part) for part in parts}
    return [size_part(*size) for size in sorted(size for size in sizes if size is not None)]


def _entry(rows: Sequence[Row], everyone: Sequence[Row], key: str, part: str, form: LatencyForm) -> Entry:
    """The median time, mean over seeds, and by how many percent it is above the base's."""
    quantity = describe(_address(key, "p50", part, form))
    found = samples(rows, quantity)
    if len(found) != 1:
        return measured_entry(rows, quantity, {})
    (sample,) = found.values()
    text = quantity.show(sample.mean)
    marks = throttled_marks(rows, quantity.key)
    compared = [above for row in rows if (above := _above(row, everyone, key, part, form))] if form != "base" else []
    if len(compared) < sample.n:
        return Entry(text, sample, marks)
    percent = 100 * mean([above.ours.median / above.base.median - 1 for above in compared])
    return Entry(f"{text} ({percent:+.1f} %)".replace("-", "−"), sample, (*((TIE_MARK,) if _tie(compared) else ()), *marks))


def _tie(compared: Sequence[Above]) -> bool:
    """Whether the differences are within the noise: that over seeds or A/A repeats; of one seed and without these, within the
    spread of the repetitions."""
    noise = paired_difference([(above.ours.sample, above.base.sample) for above in compared]).within_noise
    if noise is not None:
        return noise
    (only,) = compared
    return abs(only.ours.median - only.base.median) <= max(only.ours.spread, only.base.spread)


def _above(row: Row, everyone: Sequence[Row], key: str, part: str, form: LatencyForm) -> Above | None:
    """Against the base that the cell measured itself, else that of the cell which differs from it in tuning nothing."""
    ours = _Times.of(row, key, part, form)
    untuned = (_Times.of(other, key, part, found) for other in _untuned(row, everyone) for found in UNTUNED)
    for theirs in (_Times.of(row, key, part, "base"), *untuned):
        if ours and theirs and ours.clock == theirs.clock and theirs.median > 0:
            return Above(ours, theirs)
    return None


def _untuned(row: Row, everyone: Sequence[Row]) -> list[Row]:
    """The cells that trained nothing and agree with this one on all axes but those of the method and of training."""
    axes = [axis for axis in axes_of(everyone) if axis != "method" and not axis.startswith(("method.", "train."))]
    return [other for other in everyone if other is not row and other.record.training is None and all(other.axes.get(axis) == row.axes.get(axis) for axis in axes)]


def _address(key: str, percentile: str, part: str, form: LatencyForm) -> str:
    return f"{key}.{percentile}:{part}:{LATENCY_WHENS[form]}"


def _shown(form: LatencyForm, rows: Sequence[Row]) -> str:
    return "base" if all(row.record.training is None for row in rows) else form


def _notes(key: str, rows: Sequence[Row], axes: Sequence[str]) -> Iterator[str]:
    entries = [entry for row in rows for entry in (row.record.latency if key.startswith("latency.") else row.record.batch_latency)]
    repeats = sorted({entry.repeats for entry in entries if entry.repeats is not None})
    seeds = sorted({len(found) for found in group_by(rows, axes).values()})
    over = f"n = {_either(repeats)} repeats" if repeats else "repeats"
    yield f"Medians over {over}" + (f", means of these over n = {_either(seeds)} seeds." if seeds != [1] else ".")
    new_tokens = sorted({entry.new_tokens for row in rows for entry in row.record.latency})
    if key.startswith("latency.") and new_tokens:
        yield f"Tokens generated after every prompt: {_either(new_tokens)}."
    yield "In brackets: time above that of the base at the same size, the model without the method: measured in the same cell, else in the one that differs in tuning nothing."
    yield from shared_note(rows, axes)


def _either(values: Sequence[int]) -> str:
    return " or ".join(map(str, values)) if values else MISSING
