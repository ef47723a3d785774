"""What all of a record's parts are built of: the words of its contract, and the base class.

Units are SI: bytes are bytes, times seconds unless the name says ms, energy joules. None means not
measured, and then a note says why; it is never 0, -1 or NaN.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

Status = Literal["ok", "oom", "diverged", "failed", "timeout", "unsupported"]
When = Literal["before", "after", "merged", "merged-requantized"]
Form = Literal["unmerged", "merged", "merged-requantized"]
LatencyForm = Literal["base", "unmerged", "merged", "merged-requantized"]  # base: without the method
FORMS: tuple[Form, ...] = get_args(Form)  # in the order in which a cell makes them
PhaseName = Literal[
    "load", "quantize", "attach", "train", "evaluate_dev", "evaluate", "check", "generate", "merge", "probe",
    "evaluate_merged", "generate_merged", "requantize", "evaluate_requantized", "generate_requantized", "generate_base",
]  # fmt: skip
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
CheckName = Literal[
    "counts", "trains", "gradients", "moves", "frozen", "turns_off", "reloads", "checkpoints", "generates", "pads", "merges", "trainer"
]  # fmt: skip
CHECKS: tuple[CheckName, ...] = get_args(CheckName)  # in the order in which they are made
PeakSource = Literal["nvml_process", "nvml_device_delta", "torch_reserved", "host_rss"]


class Part(BaseModel):
    """Base of the record's parts: unknown keys refused, so that a typo in a writer is found at once."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Percentiles(Part):
    """Percentiles of a sample of durations in milliseconds."""

    p50: float
    p90: float
    p99: float
