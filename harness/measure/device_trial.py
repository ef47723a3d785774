"""What torch and the driver make of the device together: really tried, in a process of its own, because it needs torch and a CUDA context."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Literal

TRIAL_SECONDS = 120


@dataclass(frozen=True)
class DeviceTrial:
    """architectures: that torch is compiled for, as `sm_90` (machine code) and `compute_90` (compiled at first use). misfit: why none of them serves
    the card, None where one does. bfloat16: whether the device computes it itself; None on a CPU. nvml_process: bytes that NVML says this
    process holds, its CUDA context among them; None where NVML does not list it. flops: FLOP/s of short matrix products, by dtype. notes: why
    NVML could not be asked.
    """

    architectures: list[str] = field(default_factory=list)
    misfit: str | None = None
    bfloat16: bool | None = None
    nvml_process: int | None = None
    flops: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def architecture_misfit(architectures: Iterable[str], capability: tuple[int, int]) -> str | None:
    """Why none of a build's architectures serves a card, or None.

    Machine code serves cards of its own major version from its minor one on; `compute_XY` is compiled by the driver for all cards
    from there on. An architecture with a letter (`sm_90a`) serves that one card. Source: CUDA C++ Programming Guide, binary and PTX compatibility.
    """
    built = list(architectures)
    for name in built:
        parsed = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", name)
        if parsed is None:
            continue
        of = (int(parsed[2]), int(parsed[3]))
        if of == capability or (not parsed[4] and of < capability and (parsed[1] == "compute" or of[0] == capability[0])):
            return None
    have = ".".join(map(str, capability))
    return f"this torch is compiled for {', '.join(built) or 'no card'}; a card of compute capability {have} needs another build"


def try_device(device: Literal["cpu", "cuda"]) -> DeviceTrial | str:
    """The trial, made in another process; text, why there is none, where that process failed."""
    command = [sys.executable, "-m", "harness.measure.device_trial", device]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer in {TRIAL_SECONDS} s"
    if done.returncode != 0:
        words = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return words[-1] if words else f"the process that tried ended with exit code {done.returncode}"
    return DeviceTrial(**json.loads(done.stdout.splitlines()[-1]))


def trial(device: Literal["cpu", "cuda"]) -> DeviceTrial:
    """Makes it here: imports torch and, on `cuda`, makes a context."""
    import torch

    if device == "cpu":
        return DeviceTrial(flops=_flops(device, ["float32", "bfloat16"]))
    capability = torch.cuda.get_device_capability()
    architectures = torch.cuda.get_arch_list()
    misfit = architecture_misfit(architectures, capability)
    if misfit is not None:
        return DeviceTrial(architectures, misfit)
    bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    held, notes = _held_by_nvml()
    dtypes = ["float32", "float16", *(["bfloat16"] if bfloat16 else [])]
    return DeviceTrial(architectures, None, bfloat16, held, _flops(device, dtypes), notes)


def _held_by_nvml() -> tuple[int | None, list[str]]:
    """What NVML says that this process holds, once it has a context; why it could not be asked."""
    import torch

    from harness.measure.nvml import open_nvml

    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    notes: list[str] = []
    nvml = open_nvml(notes)
    if nvml is None:
        return None, notes
    with nvml:
        return nvml.process_memory([os.getpid()]), notes


def _flops(device: Literal["cpu", "cuda"], dtypes: list[str]) -> dict[str, float]:
    from harness.measure.matmul_probe import measured_flops

    return {dtype: measured_flops(device, dtype) for dtype in dtypes}


def main() -> None:
    """`python -m harness.measure.device_trial cpu|cuda`: the trial as a line of JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("device", choices=("cpu", "cuda"))
    print(json.dumps(asdict(trial(parser.parse_args().device))))


if __name__ == "__main__":
    main()
