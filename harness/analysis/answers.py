"""The short answer: for every model and task the best configuration, and the cheapest that is as good within the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.columns import AXES, Row, axis_words, describe
from harness.analysis.groups import AxisOrder, axes_of, group_by, one_sample, samples
from harness.analysis.statistics import Sample, difference
from harness.analysis.table import MISSING, Entry, Table, entries, name_columns, show_sample
from harness.analysis.tables import headline
from harness.quantities import Quantity

COST = "memory.peak_vram"


@dataclass(frozen=True)
class Candidate:
    """One configuration: its quality and the protocol of that, and its peak memory where that was measured one way."""

    name: str
    protocol: str | None
    quality: Sample
    memory: Sample | None


def answer_table(rows: Sequence[Row], order: AxisOrder) -> Table | None:
    """Best and cheapest as good, by model, task and protocol: numbers of different ones don't compete. None where nothing has a quality."""
    rows = order.sort(rows, ["model", "task", "quantization", "method", "seed"])
    body = []
    for (model, task), found in group_by(rows, ["model", "task"]).items():
        key = headline(found)
        if key is None:
            continue
        quantity = describe(key, found)
        competing = candidates(found, quantity)
        protocols = list(dict.fromkeys(candidate.protocol for candidate in competing))
        for protocol in protocols:
            name = quantity.label if len(protocols) == 1 else f"{quantity.label} ({protocol})"
            alike = [candidate for candidate in competing if candidate.protocol == protocol]
            body.append((*entries([str(model), str(task), name]), *_answer(alike, quantity)))
    if not body:
        return None
    columns = name_columns(["model", "task", "metric", "best (quantization / method)", "its peak memory", "cheapest as good", "its peak memory"])
    notes = (
        "As good: the difference to the best is within the noise: its 95 % interval, never narrower than a measured noise floor, holds 0 (docs/noise.md). "
        "Cheapest: by peak memory, by more than its own noise floor where that was measured. Configurations of which a cell is not ok don't compete. "
        "In square brackets: 95 % intervals.",
    )
    return Table("answer", "In short", columns, tuple(body), notes)


def candidates(rows: Sequence[Row], quantity: Quantity) -> list[Candidate]:
    """The configurations of which every cell went through and has the quality, measured in one way."""
    axes = ["quantization", "method", *(axis for axis in axes_of(rows) if axis not in AXES)]
    shared = {row.reading(COST).protocol for row in rows if row.ok and row.reading(COST)}  # type: ignore[union-attr]
    found = []
    for place, group in group_by(rows, axes).items():
        qualities = samples(group, quantity) if all(row.ok for row in group) else {}
        if len(qualities) == 1:
            ((protocol, quality),) = qualities.items()
            name = " / ".join(axis_words(axis, value) for axis, value in zip(axes, place, strict=True) if value is not None)
            found.append(Candidate(name, protocol, quality, one_sample(group, describe(COST)) if len(shared) == 1 else None))
    return found


def _answer(candidates: Sequence[Candidate], quantity: Quantity) -> tuple[Entry, ...]:
    sign = 1.0 if quantity.higher_is_better else -1.0
    best = max(candidates, key=lambda candidate: sign * candidate.quality.mean)
    memory = describe(COST)
    first = Entry(f"{best.name}: {show_sample(best.quality, quantity)}", best.quality)
    start = first, Entry(memory.show(best.memory.mean if best.memory else None))
    if best.quality.error() is None and len(candidates) > 1:
        return *start, Entry("noise unknown: run more seeds"), Entry(MISSING)
    as_good = [other for other in candidates if other is best or difference(best.quality, other.quality).within_noise]
    with_memory = [(other, other.memory.mean) for other in as_good if other.memory is not None]
    if not with_memory:
        return *start, Entry("memory not measured"), Entry(MISSING)
    cheapest, least = min(with_memory, key=lambda pair: pair[1])
    if cheapest is best or _no_cheaper(best.memory, cheapest.memory):
        return *start, Entry("the same"), start[1]
    second = Entry(f"{cheapest.name}: {show_sample(cheapest.quality, quantity)}", cheapest.quality)
    return *start, second, Entry(f"{memory.show(least)}{_saved(best.memory, least)}")


def _no_cheaper(best: Sample | None, cheapest: Sample | None) -> bool:
    """Whether the noise is known and explains what the cheapest takes less than the best."""
    return best is not None and cheapest is not None and difference(best, cheapest).within_noise is True


def _saved(best: Sample | None, least: float) -> str:
    return "" if best is None or best.mean <= 0 else f" (−{100 * (1 - least / best.mean):.0f} %)"
