"""The tables of docs/measured.md: rows from records, each figure with its date and a letter for the environment it was measured in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from string import ascii_lowercase
from typing import Any

from harness.quantities import quantity
from harness.records.measured import Percentiles
from harness.records.schema import Record

Cells = dict[str, str]
NONE = "–"
SHOW_BYTES = quantity("memory.peak_vram").show


class Environments:
    """The different environments of a card's records, lettered in the order in which they come up."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def mark(self, record: Record) -> str:
        """The letter of the record's environment."""
        return self.mark_values(record.environment.model_dump(mode="json"))

    def mark_values(self, values: dict[str, Any]) -> str:
        """The letter of an environment given as JSON values."""
        git = values.get("git")
        commit = "of an unknown commit" if git is None else git["commit"][:10] + (" with changes" if git["dirty"] else "")
        packages = ", ".join(f"{name} {version}" for name, version in values["packages"].items())
        line = f"driver {values['driver'] or NONE}, CUDA {values['cuda'] or NONE}, harness {values['harness']} {commit}, Python {values['python']}, {packages}"
        if line not in self._lines:
            self._lines.append(line)
        return _letters(self._lines.index(line))

    def lines(self) -> Iterator[str]:
        """What each letter stands for."""
        yield from (f"- ({_letters(number)}) {line}" for number, line in enumerate(self._lines))


def _letters(number: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    first, last = divmod(number, len(ascii_lowercase))
    return (_letters(first - 1) if first else "") + ascii_lowercase[last]


def table(rows: Iterable[Cells]) -> str:
    """Markdown; columns in the order of the first row's keys, those without any value left out."""
    rows = list(rows)
    if not rows:
        return "Nothing of this was measured.\n"
    columns = [name for name in rows[0] if any(row[name] != NONE for row in rows)]
    lines = [columns, ["---"] * len(columns), *([row[name].replace("|", "\\|") for name in columns] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def step_rows(records: Sequence[Record], environments: Environments) -> Iterator[Cells]:
    """A row for every cell of step_times."""
    for record in records:
        trained = record.training
        phase = record.memory.phases.get("train")
        yield _place(record) | {
            "step p50": NONE if trained is None or trained.step_ms is None else f"{trained.step_ms.p50:.1f} ms",
            "step p90": NONE if trained is None or trained.step_ms is None else f"{trained.step_ms.p90:.1f} ms",
            "tokens/s": NONE if trained is None else _number(trained.tokens_per_second),
            "MFU": NONE if trained is None or trained.mfu is None else f"{100 * trained.mfu:.1f} %",
            "peak memory": SHOW_BYTES(record.memory.peak_vram),
            "of": record.memory.peak_vram_source or NONE,
            "torch, training": NONE if phase is None else SHOW_BYTES(phase.torch_allocated),
            "mJ/token": NONE if record.energy.joules_per_training_token is None else f"{1000 * record.energy.joules_per_training_token:.3g}",
            "kernels": _kernels(record),
        } | _when(record, environments)


def latency_rows(records: Sequence[Record], environments: Environments) -> Iterator[Cells]:
    """A row for every latency: of generation, and of batches that are classified."""
    for record in records:
        for found in record.latency:
            yield _place(record) | {
                "form": found.form, "batch": str(found.batch_size), "prompt": str(found.prompt_tokens), "new": str(found.new_tokens),
                "first token p50 / p90 / p99": _percentiles(found.ttft_ms), "per token": _percentiles(found.tpot_ms),
                "end to end": _percentiles(found.e2e_ms), "tokens/s": _number(found.tokens_per_second),
            } | _when(record, environments)  # fmt: skip
        for batch in record.batch_latency:
            yield _place(record) | {
                "form": batch.form, "batch": str(batch.batch_size), "prompt": str(batch.tokens), "new": NONE,
                "first token p50 / p90 / p99": _percentiles(batch.batch_ms), "per token": NONE,
                "end to end": _percentiles(batch.batch_ms), "tokens/s": NONE,
            } | _when(record, environments)  # fmt: skip


def memory_rows(records: Sequence[Record], environments: Environments) -> Iterator[Cells]:
    """A row for every cell of memory_wall: its peak, how it ended, and the largest sizes that fit."""
    for record in records:
        fit = record.fit
        batch = NONE if fit is None else ("none" if fit.batch_size is None else f"{'≥ ' if fit.batch_size_is_bound else ''}{fit.batch_size}")
        length = NONE if fit is None else ("none" if fit.max_length is None else f"{'≥ ' if fit.max_length_is_bound else ''}{fit.max_length}")
        train = record.cell.config.get("train", {})
        yield _place(record, "per_device_train_batch_size", "max_length") | {
            "batch": str(train.get("per_device_train_batch_size", NONE)), "length": str(train.get("max_length", NONE)),
            "outcome": record.outcome.status + (f" in {record.outcome.phase}" if record.outcome.phase else ""),
            "peak memory": SHOW_BYTES(record.memory.peak_vram), "of": record.memory.peak_vram_source or NONE,
            "largest batch": batch, "longest sequence": length,
        } | _when(record, environments)  # fmt: skip


def _place(record: Record, *told: str) -> Cells:
    """Where the cell stands. told: swept fields that have a column of their own."""
    names = {key.rpartition(".")[2]: value for key, value in record.cell.sweep.items()}
    swept = ", ".join(f"{name} {value}" for name, value in names.items() if name not in told)
    return {"model": record.cell.model, "scheme": record.cell.quantization, "method": record.cell.method, "swept": swept or NONE}


def _when(record: Record, environments: Environments) -> Cells:
    throttled = sorted({reason for reasons in record.timing.throttled.values() for reason in reasons})
    return {"throttled": ", ".join(throttled) or NONE, "measured": f"{record.finished:%Y-%m-%d} ({environments.mark(record)})"}


def _kernels(record: Record) -> str:
    return NONE if record.quantization is None else ", ".join(record.quantization.kernels)


def _percentiles(found: Percentiles | None) -> str:
    return NONE if found is None else f"{found.p50:.2f} / {found.p90:.2f} / {found.p99:.2f} ms"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"
