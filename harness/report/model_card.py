"""A section for a model card: one cell's numbers in words, and above them the metadata in which the hub reads results.

Source of the metadata's form: huggingface_hub.EvalResult and https://huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.analysis.columns import Row, describe, device_name
from harness.analysis.table import Table, entries, name_columns
from harness.errors import RequestError
from harness.records.schema import Metric, Record
from harness.report.markdown import escape_markdown, markdown_table
from harness.report.templates import Rendered, environment

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

COSTS = (
    "parameters.trainable", "parameters.trainable_percent", "sizes.adapter_bytes", "sizes.model_bytes", "quantization.bits_per_weight",
    "memory.peak_vram", "memory.train_peak", "timing.train", "training.tokens_per_second", "energy.train",
)  # fmt: skip
TRAINING = ("learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "optim", "lr_scheduler_type", "bf16", "fp16")
TASK_TYPES = {"classification-head": "text-classification", "/span-": "question-answering"}  # of the hub, by what the protocol's id holds


def the_cell(rows: Sequence[Row], wanted: str) -> Row:
    """The row of the cell whose id is `wanted`, or the only one whose id begins so; raises RequestError that says which there are."""
    found = [row for row in rows if row.record.cell.id == wanted] or [row for row in rows if row.record.cell.id.startswith(wanted)]
    if len(found) != 1:
        among = "\n".join(f"  {row.record.cell.id}  {row.name()}" for row in (found or rows)[:30])
        raise RequestError(f"{'several cells begin' if found else 'no cell has the id, or an id that begins'} with {wanted!r}; the ids here:\n{among}")
    return found[0]


def model_card(row: Row) -> str:
    """The section as Markdown with YAML metadata in front. Raises RequestError for a cell that did not go through."""
    record = row.record
    if not row.ok:
        raise RequestError(f"cell {record.cell.id} ended {record.outcome.status}: {record.outcome.message}; a model card tells of models that are there")
    from huggingface_hub import ModelCardData

    results = [] if row.random_weights else list(_results(row))
    # model_name and eval_results stand or fall together; where there are no results only the base model is told
    told: dict[str, Any] = {"model_name": row.name("seed"), "eval_results": results} if results else {}
    metadata = ModelCardData(base_model=_hub_name(row), library_name="peft" if record.sizes.adapter_bytes else "transformers", tags=["harness"], **told)
    return environment(escape_markdown).get_template("model_card.md.j2").render(
        metadata=Rendered(metadata.to_yaml()), row=row, record=record, device=device_name(record), random=row.random_weights,
        results=markdown_table(_result_table(row)), costs=markdown_table(_cost_table(row)), settings=markdown_table(_setting_table(row)),
    )  # fmt: skip


def _hub_name(row: Row) -> str | None:
    kind, _, name = str(row.config("model", "source") or "").partition(":")
    return name if kind == "hub" else None


def _results(row: Row) -> Iterator[EvalResult]:
    from huggingface_hub import EvalResult

    for metric in row.record.metrics:
        if metric.value is None:
            continue
        task = metric.task or str(row.config("task", "task") or row.record.cell.task)
        yield EvalResult(
            task_type=next((kind for words, kind in TASK_TYPES.items() if words in metric.protocol), "text-generation"), dataset_type=task.partition("/")[0], dataset_name=task, dataset_split=metric.split, dataset_revision=_revision(row.record, metric),
            metric_type=metric.name.partition(":")[0], metric_value=metric.value, metric_name=f"{metric.name} ({metric.when} training)" if metric.when in ("before", "after") else f"{metric.name} ({metric.when})",
            metric_config=metric.protocol, metric_args={"n": metric.n, "stderr": metric.stderr},
        )  # fmt: skip


def _revision(record: Record, metric: Metric) -> str | None:
    return next((use.revision for use in record.data if use.role == "evaluation" and use.task == (metric.task or record.cell.task)), None)


def _result_table(row: Row) -> Table:
    lines = []
    for metric in row.record.metrics:
        known = describe(metric.name, [row])
        error = "–" if metric.stderr is None else known.show(metric.stderr)
        value = "–" if metric.value is None else known.show(metric.value)
        lines.append([metric.task or row.record.cell.task, known.label, metric.when, value, error, str(metric.n or "–"), metric.protocol])
    return Table("results", "Results", name_columns(["task", "metric", "when", "value", "standard error", "n", "protocol"]), tuple(map(entries, lines)))


def _cost_table(row: Row) -> Table:
    found = [(describe(key), row.reading(key)) for key in COSTS]
    lines = [[quantity.label, quantity.show(reading.value), reading.protocol or ""] for quantity, reading in found if reading is not None]
    return Table("costs", "Cost", name_columns(["", "measured", "how"]), tuple(map(entries, lines)))


def _setting_table(row: Row) -> Table:
    config = row.record.cell.config
    lines = [[f"method.{name}", str(value)] for name, value in (config.get("method") or {}).items() if value is not None]
    lines += [[f"quantization.{name}", str(value)] for name, value in (config.get("scheme") or {}).items() if value is not None]
    lines += [[f"train.{name}", str(value)] for name in TRAINING if (value := (config.get("train") or {}).get(name)) is not None]
    return Table("settings", "Settings", name_columns(["field", "value"]), tuple(map(entries, lines)))
