"""The comparability guard: fields that would explain a difference by themselves, and must agree between the sides of a claim.

    quality     batch (rows per optimizer step), length of training (num_train_epochs or max_steps), max_length, training rows
                (max_train_samples), the model's dtype, autocast
    memory, time, energy, latency   the micro-batch (rows per forward pass) besides, gradient checkpointing, the device

Learning rates, schedules and seeds are tuned for each method, and don't count. A field that the claim's own axes are about (a swept
key that a side names, or the axis of a trend) is meant to differ; others that the source lets differ stand under `allow`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.analysis.columns import Row, device_name
from harness.analysis.pairs import Pairing
from harness.analysis.verdicts import Verdict
from harness.quantities import Quantity
from harness.suite.schema import Claim, Measured

QUALITY = ("train.num_train_epochs", "train.max_steps", "train.max_length", "train.bf16", "train.fp16", "task.max_train_samples", "model.dtype")
COST = (*QUALITY, "train.per_device_train_batch_size", "train.gradient_accumulation_steps", "train.gradient_checkpointing")


def confounded(pairing: Pairing, quantity: Quantity, claim: Claim) -> tuple[Verdict, str] | None:
    """`not comparable` and the first field that differs within a pair; None where none does."""
    if quantity.exact:
        return None
    meant = {*claim.allow, *_about(claim)}
    for pair in pairing.pairs:
        for field in _fields(quantity):
            if field in meant:
                continue
            values = [sorted({str(_value(row, field)) for row in side if _counts(row, field)}) for side in (pair.left, pair.right)]
            if all(values) and len({*values[0], *values[1]}) > 1:
                against = " against ".join(", ".join(side) for side in values)
                return "not comparable", f"{field} differs: {against} ({pair.left[0].name()})."
    return None


def _fields(quantity: Quantity) -> Iterator[str]:
    if quantity.quality:
        yield "rows per optimizer step"
        yield from QUALITY
    else:
        yield from COST
        yield "device"


def _about(claim: Claim) -> Iterator[str]:
    """Fields that the claim's own axes change."""
    named = {axis for side in (claim.left, claim.right) if isinstance(side, Measured) for axis in side.where}
    named |= {claim.over} if claim.over else set()
    yield from named
    for axis, part in (("task", "task."), ("model", "model.")):
        if axis in named:  # two tasks, or two models, are compared as they are
            yield from (field for field in COST if field.startswith(part))
    if named & {"train.per_device_train_batch_size", "train.gradient_accumulation_steps"}:
        yield "rows per optimizer step"


def _counts(row: Row, field: str) -> bool:
    """Whether the field can change the cell's result: nothing about training can where nothing is tuned."""
    return row.record.training is not None or field.startswith("model.") or field == "device"


def _value(row: Row, field: str) -> Any:
    if field == "device":
        return device_name(row.record)
    if field == "rows per optimizer step":
        batch, steps = (row.config("train", name) for name in ("per_device_train_batch_size", "gradient_accumulation_steps"))
        return None if batch is None else batch * (steps or 1)
    return row.config(*field.split(".", 1))
