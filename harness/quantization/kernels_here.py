"""Which schemes' kernels compute on this machine, and why the others don't: each is really tried, in another process. Without torch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from harness.needs import Machine
from harness.quantization.base import SCHEMES
from harness.quantization.kernel_trial import Candidate, KernelTrial, dtype_on
from harness.quantization.packed import Packed
from harness.quantization.packed_kernels import AWQ_KERNELS, GPTQ_KERNELS

TRIAL_SECONDS = 240.0
POLL_SECONDS = 0.1
SKIPPED = ("none", "prequantized")  # nothing of their own to try
#: One name stands for all whose weights are stored and computed in the same way.
STAND_IN = {"rtn": "rtn-4bit", "gptq": "rtn-4bit", "awq": "awq-4bit"}
#: Kernels and schemes that their library compiles at its first use: minutes, and whoever stops the compiler leaves a lock that the next waits for.
COMPILED_KERNELS = ("exllama_v2", "marlin", "machete", "gemm")
COMPILED_SCHEMES = ("quanto-int2", "quanto-int4")
FLOAT16_ALONE = ("gemm_triton",)


def stand_in(scheme: str) -> str:
    """The scheme that is tried in a scheme's place, by default itself."""
    return STAND_IN.get(scheme.partition("-")[0], scheme)


def candidates(schemes: Collection[str] | None = None) -> list[Candidate]:
    """One for every registered scheme, or those named, that needs no compiling; for gptqmodel's formats one for every such kernel.

    GPTQ and round-to-nearest are stored and computed in the same way, so that `rtn-4bit`, which needs no calibration, is tried for both.
    """
    found: dict[Candidate, None] = {}
    for name in SCHEMES.names() if schemes is None else schemes:
        cls = SCHEMES.get(name)
        if issubclass(cls, Packed):
            tried = stand_in(name)
            kernels = AWQ_KERNELS if tried == "awq-4bit" else GPTQ_KERNELS
            found.update(dict.fromkeys(Candidate(tried, kernel) for kernel in kernels if kernel not in COMPILED_KERNELS))
        elif name not in (*SKIPPED, *COMPILED_SCHEMES):
            found[Candidate(name)] = None
    return list(found)


def not_tried() -> str:
    """Which schemes and kernels are not among the candidates, and why."""
    compilers = ", ".join(f"{name} is {'here' if which(name) else 'missing'}" for name in ("nvcc", "c++", "ninja"))
    return (
        f"their libraries compile {', '.join(COMPILED_SCHEMES)} and gptqmodel's kernels {', '.join(COMPILED_KERNELS)} at their first use, "
        f"which takes minutes; {compilers}"
    )


def kernels_here(machine: Machine, schemes: Collection[str] | None = None, seconds: float = TRIAL_SECONDS) -> Iterator[KernelTrial]:
    """Tries the candidates, each as it ends. seconds: the longest that one may take.

    A trial that ends its process, by an exception or a signal, becomes a reason, and the others go on in a new one.
    """
    left: list[Candidate] = []
    for candidate in candidates(schemes):
        reason = _unmet(candidate, machine)
        if reason is None:
            left.append(candidate)
        else:
            yield KernelTrial(candidate, dtype_on(machine.device), 0.0, reason=reason)
    while left:
        done = list(_in_one_process(left, machine.device, seconds))
        yield from done
        left = left[len(done) :]


def _unmet(candidate: Candidate, machine: Machine) -> str | None:
    given = {"scheme": candidate.scheme} | ({} if candidate.kernel is None else {"kernel": candidate.kernel})
    reason = SCHEMES.get(candidate.scheme).model_validate(given).needed().unmet(machine, None)
    if reason is None and candidate.kernel in FLOAT16_ALONE:
        return "gptqmodel's kernel computes in float16 alone; what is tried here is bfloat16"
    return reason


def _in_one_process(left: list[Candidate], device: str, seconds: float) -> Iterator[KernelTrial]:
    """The trials of one process, in the order of the candidates; the last one has a reason where the process died of it."""
    with TemporaryDirectory() as folder:
        out, told = Path(folder, "trials.jsonl"), Path(folder, "stderr.txt")
        out.touch()
        command = [sys.executable, "-m", "harness.quantization.kernel_trial", device, str(out), json.dumps([asdict(candidate) for candidate in left])]
        with told.open("w", encoding="utf-8") as stderr:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
        too_long = _watch(process, out, seconds)
        lines = out.read_text(encoding="utf-8").splitlines()
        for line in lines:
            values = json.loads(line)
            yield KernelTrial(**values | {"candidate": Candidate(**values["candidate"])})
        if len(lines) < len(left):
            reason = f"gave no answer in {seconds:g} s" if too_long else _death(process.returncode, told.read_text(encoding="utf-8", errors="replace"))
            yield KernelTrial(left[len(lines)], dtype_on(device), 0.0, reason=reason)


def _watch(process: subprocess.Popen[bytes], out: Path, seconds: float) -> bool:
    """Waits for the process; ends it, and says so, when it takes longer than `seconds` for one candidate."""
    size, since = 0, time.monotonic()
    while process.poll() is None:
        if out.stat().st_size != size:
            size, since = out.stat().st_size, time.monotonic()
        if time.monotonic() - since > seconds:
            process.kill()
            process.wait()
            return True
        time.sleep(POLL_SECONDS)
    return False


def _death(returncode: int, stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if returncode < 0:
        return f"ended its process with signal {-returncode}"
    return lines[-1] if lines else f"ended its process with exit code {returncode}"
