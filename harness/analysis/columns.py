"""A record as one flat row: its place on every axis and each number under one address. The only place that does it.

Addresses. A path of `harness.quantities` (`memory.peak_vram`, `timing.train`), the same of another phase
(harness.analysis.phase_addresses); or a metric, `name[@task][:when]`:

    accuracy             the final value: after training (of the first of its forms), or before it where nothing was trained
    accuracy:before      before training; likewise `:after`, `:merged` and `:merged-requantized`
    accuracy:anatomy     a part (an MMLU subject); `accuracy:anatomy:before` before training
    accuracy@mmlu        of another evaluation than the cell's own task; where that is not evaluated itself (`evaluate`), the first
                         that has such a metric is found without it too
    latency.ttft_ms.p50:b8-p128:merged   a size and a form, each of which may be left out (harness.analysis.latency_addresses)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, get_args

from harness.analysis.latency_addresses import latency_values, size_words
from harness.analysis.phase_addresses import PEAK_SOURCES, memory_values, phase_quantity
from harness.analysis.statistics import Error
from harness.errors import UnknownName
from harness.quantities import QUANTITIES, Quantity
from harness.records.parts import Form, When
from harness.records.schema import Metric, Record

AXES = ("model", "quantization", "method", "task", "seed")
WHENS: tuple[str, ...] = get_args(When)
FINAL: tuple[When, ...] = ("after", "merged", "merged-requantized", "before")  # the first that was evaluated is the final value
WHEN_WORDS: Mapping[str, str] = {
    "before": "before tuning", "after": "after tuning", "merged": "after merging", "merged-requantized": "after merging and quantizing again"
}  # fmt: skip
FORM_WHENS: Mapping[Form, When] = {"unmerged": "after", "merged": "merged", "merged-requantized": "merged-requantized"}
RANDOM_WEIGHTS = "random:"


class Reading(NamedTuple):
    """One number and what it takes to compare it: its standard error and how it was measured.

    protocol: a metric's protocol id; for a cost, source and device; None where there is one way only (a count).
    items: what each item evaluated contributes, where the metric tells. repeated: its standard deviation over A/A repeats
    (`harness noise`), None where there were none. n: items that a metric is over, where it tells.
    """

    value: float | None
    stderr: float | None = None
    protocol: str | None = None
    items: tuple[float, ...] | None = None
    repeated: Error | None = None
    n: int | None = None


@dataclass(frozen=True)
class Row:
    """One record, flat. axes: model, quantization, method, task, seed and the swept fields, in that order, their ids hashable.

    ok: whether the cell went through. random_weights: whether the model was never trained, so that its quality
    says nothing.
    """

    record: Record
    axes: Mapping[str, Any]
    readings: Mapping[str, Reading]
    ok: bool
    random_weights: bool

    def config(self, part: str, field: str) -> Any:
        """A field of the cell's resolved configuration (`config("scheme", "double_quant")`); None where absent."""
        return (self.record.cell.config.get(part) or {}).get(field)

    def reading(self, key: str) -> Reading | None:
        """What is at that address; None where nothing was measured."""
        found = self.readings.get(key)
        return None if found is None or found.value is None else found

    def with_repeated(self, spreads: Mapping[str, Error]) -> Row:
        """The row whose readings have these standard deviations over A/A repeats, by address."""
        readings = {key: reading._replace(repeated=spreads.get(key)) for key, reading in self.readings.items()}
        return replace(self, readings=readings)

    def name(self, *without: str) -> str:
        """The cell in words, as the plan prints it: `model / scheme / method / task / seed 0 / learning_rate=0.1`."""
        return " / ".join(axis_words(axis, value) for axis, value in self.axes.items() if axis not in without)


def row(record: Record) -> Row:
    """The record as a row."""
    cell = record.cell
    axes = {axis: getattr(cell, axis) for axis in AXES} | {axis: axis_id(value) for axis, value in cell.sweep.items()}
    source = str((cell.config.get("model") or {}).get("source") or "")
    readings = dict(_costs(record)) | dict(_metrics(record))
    return Row(record, axes, readings, record.outcome.status == "ok", source.startswith(RANDOM_WEIGHTS))


def rows(records: Sequence[Record]) -> list[Row]:
    """All records as rows, in their order."""
    return [row(record) for record in records]


def axis_id(value: Any) -> Any:
    """What stands for a value on an axis and can be a key: itself, or of a list or mapping its text."""
    return value if value.__hash__ is not None else str(value)


def axis_words(axis: str, value: Any) -> str:
    """A place on an axis in words: the id itself, `seed 0`, `learning_rate=0.0001`."""
    if axis == "seed":
        return f"seed {value}"
    return str(value) if axis in AXES else f"{axis.rpartition('.')[2]}={axis_value(value)}"


def axis_value(value: Any) -> str:
    """A swept value as a person wrote it (`0.0001`, not `1e-04`)."""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def device_name(record: Record) -> str:
    """The GPU, or the CPU and how many cores, that the record was measured on."""
    where = record.environment
    if where.device == "cuda":
        return where.gpu or "GPU of unknown name"
    return f"{where.cpu or 'CPU'}, {where.cores} cores" if where.cores else where.cpu or "CPU"


def describe(key: str, among: Sequence[Row] = ()) -> Quantity:
    """Label, unit, format and direction of an address.

    A metric that `harness.quantities` does not list (a third party's task) is described from the rows that
    carry it. Raises UnknownName, with the nearest known name, where neither knows it.
    """
    base, words = _address_words(key)
    known = QUANTITIES.get(base) or phase_quantity(base) or _foreign_metric(base, among)
    if known is None:
        raise UnknownName("metric or quantity", key, QUANTITIES)
    return replace(known, key=key, label=" ".join([known.label, *words]))


def described(key: str, among: Sequence[Row] = ()) -> Quantity:
    """As `describe`; what nothing describes (a third party's metric, in a file that has its values alone) is a score of which nothing else is known."""
    try:
        return describe(key, among)
    except UnknownName:
        return Quantity(key, key.replace("_", " "), None, "plain", None, f"metric {key}", quality=True)


def metric_address(name: str, task: str | None = None, when: str | None = None) -> str:
    """The address of a metric: `name[@task][:when]`."""
    return name + (f"@{task}" if task else "") + (f":{when}" if when else "")


def _address_words(key: str) -> tuple[str, list[str]]:
    """Splits an address into the table's key and the words that its label gets."""
    stem, _, last = key.rpartition(":")
    when = WHEN_WORDS.get(last)
    name, _, task = (stem if when and stem else key).partition("@")
    base, _, part = name.partition(":")
    words = [f"({size_words(part)})"] if part else []
    words += [f"on {task}"] if task else []
    return base, words + ([when] if when and stem else [])


def _foreign_metric(name: str, among: Sequence[Row]) -> Quantity | None:
    for candidate in among:
        for metric in candidate.record.metrics:
            if metric.name.partition("@")[0].partition(":")[0] == name:  # as `_address_words` takes it apart
                label = name.replace("_", " ")
                return Quantity(name, label, metric.unit, "plain", metric.higher_is_better, f"metric {name}", quality=True)
    return None


def _metrics(record: Record) -> Iterator[tuple[str, Reading]]:
    """Every metric under `name:when`, and the final value under `name` where the cell went through.

    A cell that died in training has a value from before it; that is not what the cell was to show.
    """
    final: dict[str, Metric] = {}
    for address, metric in _addressed(record):
        yield f"{address}:{metric.when}", _metric_reading(metric)
        if address not in final or FINAL.index(metric.when) < FINAL.index(final[address].when):
            final[address] = metric
    for address, metric in final.items() if record.outcome.status == "ok" else ():
        yield address, _metric_reading(metric)


def _addressed(record: Record) -> Iterator[tuple[str, Metric]]:
    """Every metric under its addresses."""
    standing_in: dict[str, str] = {}
    own = (record.cell.config.get("evaluations") or {}).get("own", True)
    for metric in record.metrics:
        yield metric_address(metric.name, metric.task), metric
        if not own and metric.task is not None and standing_in.setdefault(metric.name, metric.task) == metric.task:
            yield metric.name, metric


def _metric_reading(metric: Metric) -> Reading:
    return Reading(metric.value, metric.stderr, metric.protocol, None if metric.items is None else tuple(metric.items), n=metric.n)


def _costs(record: Record) -> Iterator[tuple[str, Reading]]:
    """Every cost under its address; the protocol of a cost is its source and the device."""
    device = device_name(record)
    yield from ((key, Reading(value, protocol=how)) for key, value, how in memory_values(record, device))
    clock = f"wall clock on {device}"
    yield "timing.total", Reading(record.timing.total, protocol=clock)
    for phase, seconds in record.timing.phases.items():
        yield f"timing.{phase}", Reading(seconds, protocol=clock)
    for phase, joules in record.energy.phases.items():
        yield f"energy.{phase}", Reading(joules, protocol=f"{record.energy.source} on {device}")
    for name in ("joules_per_training_token", "joules_per_generated_token"):
        yield f"energy.{name}", Reading(getattr(record.energy, name), protocol=f"{record.energy.source} on {device}")
    yield from _training(record, clock)
    yield from ((key, Reading(value, protocol=clock)) for key, value in latency_values(record))
    if record.parameters:
        for name in ("total", "trainable", "trainable_percent"):
            yield f"parameters.{name}", Reading(getattr(record.parameters, name))
    for name in type(record.sizes).model_fields:
        yield f"sizes.{name}", Reading(getattr(record.sizes, name))
    yield from _quantization(record, clock)


def _quantization(record: Record, clock: str) -> Iterator[tuple[str, Reading]]:
    """Time and memory are those of the cell that quantized, on the machine whose cache this is."""
    stored = record.quantization
    if stored is None:
        return
    yield "quantization.bits_per_weight", Reading(stored.bits_per_weight)
    yield "quantization.bytes", Reading(stored.bytes)
    if stored.cost is not None:
        yield "quantization.seconds", Reading(stored.cost.seconds, protocol=clock)
        how = PEAK_SOURCES[stored.cost.peak_source] if stored.cost.peak_source else None
        yield "quantization.peak_bytes", Reading(stored.cost.peak_bytes, protocol=how)
        yield "quantization.disk_bytes", Reading(stored.cost.disk_bytes)


def _training(record: Record, clock: str) -> Iterator[tuple[str, Reading]]:
    training = record.training
    if training is None:
        return
    for name in ("tokens_per_second", "padded_tokens_per_second", "samples_per_second", "data_wait_share"):
        yield f"training.{name}", Reading(getattr(training, name), protocol=clock)
    if training.peak_flops:
        yield "training.mfu", Reading(training.mfu, protocol=f"{clock}, of a dense peak of {training.peak_flops / 1e12:g} TFLOP/s")
    yield "training.final_loss", Reading(training.final_loss)
    yield "training.steps", Reading(training.steps)
    yield "training.best_step", Reading(training.best_step)
    for times in ("step_ms", "data_wait_ms"):
        found = getattr(training, times)
        for name in ("p50", "p90", "p99") if found else ():
            yield f"training.{times}.{name}", Reading(getattr(found, name), protocol=clock)

