"""How fast a cell was trained: tokens, samples, steps, waits for data, and the share of the card's peak that the model used."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from harness.measure.cards import Card, Dtype, card_of
from harness.measure.clock import StepClock, percentiles
from harness.models.flops import uncounted

if TYPE_CHECKING:
    from harness.runs.phases.trainer import MeasuredTrainer


def of(trainer: MeasuredTrainer, clock: StepClock, notes: list[str]) -> dict[str, Any]:
    """Fields of harness.records.measured.Training. Rates are over the steps after warm-up: what they read over the wall time
    from the first one's start to the last one's end. Notes say why what is None is None; a CPU's missing peak goes without saying.
    """
    missing = clock.missing()
    if missing is not None:
        notes.append(missing)
    tokens, samples, shapes = trainer.tokens_by_step(), trainer.samples_by_step, trainer.shapes_by_step
    padded = [sum(shape.tokens for shape in step) for step in shapes]
    return {
        "tokens": sum(tokens),
        "samples": sum(samples),
        "padded_tokens": sum(padded),
        "tokens_per_second": clock.per_second(tokens),
        "samples_per_second": clock.per_second(samples),
        "padded_tokens_per_second": clock.per_second(padded),
        "step_ms": percentiles(clock.step_ms()[clock.warmup_steps :]),
        "data_wait_ms": trainer.waits.percentiles_ms(clock),
        "data_wait_share": trainer.waits.share(clock),
        **_utilisation(trainer, clock, sum(padded), notes),
    }


def _utilisation(trainer: MeasuredTrainer, clock: StepClock, padded: int, notes: list[str]) -> dict[str, float | None]:
    """Model FLOPs per padded token, the card's peak, and how much of it was used."""
    if trainer.flops is None or not padded:
        if clock.steps:
            notes.append("no model FLOPs: " + ("torch.compile hides the model's products" if trainer.args.torch_compile else "no batch had tokens"))
        return {}
    left_out = uncounted(trainer.model)
    if left_out is not None:
        notes.append(f"model FLOPs, and with them mfu, are without {left_out}")
    flops = [sum(trainer.flops.of(shape) for shape in step) for step in trainer.shapes_by_step]
    peak = _peak(trainer, notes) if clock.device == "cuda" else None
    rate = clock.per_second(flops)
    return {
        "flops_per_token": sum(flops) / padded,
        "peak_flops": peak,
        "mfu": None if peak is None or rate is None else rate / peak,
    }


def _peak(trainer: MeasuredTrainer, notes: list[str]) -> float | None:
    """The card's dense peak for the dtype that the model computes in."""
    import torch

    name = torch.cuda.get_device_name()
    card: Card | None = card_of(name)
    dtype = computed_dtype(trainer.model, trainer.args.bf16, trainer.args.fp16)
    peak = None if card is None or dtype is None else card.peaks.get(dtype)
    if peak is None:
        notes.append(f"mfu is null: harness/measure/cards.py has no peak for {dtype or 'the dtype computed in'} of {name}")
    return peak


def computed_dtype(model: Any, bf16: bool, fp16: bool) -> Dtype | None:
    """The dtype of a model's products in training: autocast's, else that of most of its weights, of the frozen ones where there
    are any (quantized ones are dequantized into the dtype of those that are not). fp32's products are tf32 where torch may round
    them. None for a dtype that the table of cards doesn't have."""
    import torch

    if bf16 or fp16:
        return "bf16" if bf16 else "fp16"
    floats = [values for values in model.parameters() if values.is_floating_point()]
    weights = Counter[torch.dtype]()
    for values in [values for values in floats if not values.requires_grad] or floats:
        weights[values.dtype] += values.numel()
    ((most, _),) = weights.most_common(1)
    if most == torch.float32:
        return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "fp32"
    half: dict[torch.dtype, Dtype] = {torch.bfloat16: "bf16", torch.float16: "fp16"}
    return half.get(most)
