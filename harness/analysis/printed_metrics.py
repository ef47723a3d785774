"""Metrics that published tables print and no record has: a reference may use these names beside those of harness.quantities.

They never stand beside a cell. Where a record has the same number under another name, a reference uses that name
(`memory.train_peak`, `parameters.trainable`, `sizes.adapter_bytes`).
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import nearest
from harness.quantities import QUANTITIES

PRINTED: Mapping[str, str] = {
    "score": "mean over tasks of each task's own metric, in points of a hundred",
    "train_loss": "training loss as the source logs it",
    "loss_step_10": "training loss logged at step 10",
    "loss_step_100": "training loss logged at step 100",
    "forgetting": "rise of the loss on other text through tuning",
    "train_rows": "rows of the training split",
    "validation_rows": "rows of the validation split",
    "steps_per_epoch": "optimizer steps of one epoch",
    "train_seconds": "wall time of the source's whole training script",
    "runtime_seconds_100_steps": "wall time of 100 optimizer steps",
    "minutes_per_epoch": "wall time of one epoch in minutes",
    "steps_per_second": "optimizer steps per second over the whole run",
    "training_speedup": "full tuning's time over the method's",
    "training_time_percent": "training time in percent of full tuning's",
    "inference_time_percent": "inference time in percent of the fully tuned model's",
    "training_flops": "floating-point operations of training",
    "inference_flops": "floating-point operations to answer one example",
    "gb_encode_2048": "memory to encode 2,048 tokens, in GB",
    "gb_generate_8192": "memory to generate 8,192 tokens, in GB",
    "memory_footprint_mib": "transformers' get_memory_footprint of the loaded model, in MiB",
    "constant_bits_per_parameter": "bits per parameter that quantization constants take",
    "nvidia_memory_mib": "memory that the driver reports, in MiB, averaged over GPUs, less the first sample",
    "torch_allocated_bytes": "memory that torch's allocator gave out, in bytes",
    "torch_allocated_max_bytes": "peak of what torch's allocator gave out, in bytes",
    "torch_reserved_avg_bytes": "mean of what torch's allocator reserved, in bytes",
    "torch_reserved_max_bytes": "peak of what torch's allocator reserved, in bytes",
}


def metric_trouble(name: str) -> str | None:
    """Why a reference cannot use that metric, or None."""
    if name in QUANTITIES or name in PRINTED:
        return None
    guess = nearest(name, [*QUANTITIES, *PRINTED])
    return f"unknown metric {name!r}; " + (f"did you mean {guess}?" if guess else "known are harness.quantities and harness.analysis.printed_metrics")
