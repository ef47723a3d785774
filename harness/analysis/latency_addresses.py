"""Addresses of latencies: `<key>[:b<batch size>-p<prompt tokens>][:<form>]`, where `<form>` is `when` of a metric.

    latency.ttft_ms.p50                 of the smallest batch and the shortest prompt, of the model as trained
    latency.e2e_ms.p99:b8-p128          at batch size 8 with prompts of 128 tokens
    latency.ttft_ms.p50:b8-p128:before  of the base, the model without the method; `:after` as trained, `:merged`, `:merged-requantized`
    latency.ttft_overhead:b8-p128       in percent of the base's median, where the cell has measured its base

`batch_latency` is the same of models that classify or score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from harness.errors import UnknownName
from harness.records.measured import BatchLatency, Latency
from harness.records.parts import LatencyForm, Percentiles, When
from harness.records.schema import Record
from harness.suite.latency import part_of, size_of, size_part

PERCENTILES = tuple(Percentiles.model_fields)
#: The first that was measured is what an address without a form means.
LATENCY_WHENS: Mapping[LatencyForm, When] = {
    "unmerged": "after", "merged": "merged", "merged-requantized": "merged-requantized", "base": "before"
}  # fmt: skip

Entries: TypeAlias = Sequence[Latency] | Sequence[BatchLatency]


def size_words(part: str) -> str:
    """`b8-p128` as `batch 8, prompt 128`; anything else as it is."""
    size = size_of(part)
    return part if size is None else f"batch {size[0]}, prompt {size[1]}"


def latency_values(record: Record) -> Iterator[tuple[str, float | None]]:
    """Every latency of a record under its addresses."""
    for entries in (record.latency, record.batch_latency):
        yield from _values(entries)


def require_measured(key: str, measured: Iterable[str]) -> None:
    """Raises UnknownName, with the nearest address, for a latency at a size that nobody measured, where others were."""
    known = [address for address in measured if part_of(address) and address.partition(":")[0] == key.partition(":")[0]]
    if part_of(key) and known and key not in known:
        raise UnknownName("measured latency", key, known)


def _values(entries: Entries) -> Iterator[tuple[str, float | None]]:
    if not entries:
        return
    found = {(entry.form, size_measured(entry)): entry for entry in entries}
    bases = {size: entry for (form, size), entry in found.items() if form == "base"}
    addresses: dict[str, float | None] = {}
    for form in [form for form in LATENCY_WHENS if any(form == other for other, _ in found)]:
        sizes = sorted(size for other, size in found if other == form)
        for size in sizes:
            numbers = dict(_numbers(found[form, size]))
            numbers |= dict(_overheads(found[form, size], bases.get(size))) if form != "base" else {}
            for name, value in numbers.items():
                part, when = size_part(*size), LATENCY_WHENS[form]
                whole = [name, f"{name}:{when}"] if size == sizes[0] else []
                for address in (*whole, f"{name}:{part}", f"{name}:{part}:{when}"):
                    addresses.setdefault(address, value)
    yield from addresses.items()


def size_measured(entry: Latency | BatchLatency) -> tuple[int, int]:
    """(batch size, prompt tokens) of an entry of a record."""
    return entry.batch_size, entry.prompt_tokens if isinstance(entry, Latency) else entry.tokens


def _numbers(entry: Latency | BatchLatency) -> Iterator[tuple[str, float | None]]:
    section = "latency" if isinstance(entry, Latency) else "batch_latency"
    for name, found in _times(entry).items():
        yield from ((f"{section}.{name}_ms.{percentile}", getattr(found, percentile) if found else None) for percentile in PERCENTILES)
    if isinstance(entry, Latency):
        yield "latency.tokens_per_second", entry.tokens_per_second
    else:
        yield "batch_latency.samples_per_second", entry.samples_per_second


def _times(entry: Latency | BatchLatency) -> dict[str, Percentiles | None]:
    if isinstance(entry, Latency):
        return {"ttft": entry.ttft_ms, "tpot": entry.tpot_ms, "e2e": entry.e2e_ms}
    return {"batch": entry.batch_ms}


def _overheads(entry: Latency | BatchLatency, base: Latency | BatchLatency | None) -> Iterator[tuple[str, float]]:
    """By how many percent its medians are above the base's at the same size."""
    if base is None:
        return
    section, bases = "latency" if isinstance(entry, Latency) else "batch_latency", _times(base)
    for name, found in _times(entry).items():
        under = bases[name]
        if found is not None and under is not None and under.p50 > 0:
            yield f"{section}.{name}_overhead", 100 * (found.p50 / under.p50 - 1)
