"""Where it runs: the device that cells can use, and the versions and machine that records name. Without torch."""

from __future__ import annotations

import ast
import os
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import harness
from harness.errors import RequestError
from harness.measure.nvml import ALL_NULL, open_nvml
from harness.needs import Machine
from harness.records.schema import Environment, Git

PACKAGES = (
    "torch", "transformers", "peft", "accelerate", "bitsandbytes", "datasets", "tokenizers", "numpy",
    "gptqmodel", "optimum", "hqq", "torchao", "optimum-quanto", "lm-eval", "safetensors",
)  # fmt: skip
GIT_SECONDS = 10
DRIVER_ADVICE = "see `harness doctor`; use --device cpu to run without a GPU"


def machine(device: Literal["auto", "cpu", "cuda"]) -> Machine:
    """The device that cells run on: the one asked for; `auto` is `cuda` where CUDA can be used, else `cpu`.

    Raises RequestError when `cuda` is asked for and cannot be used, with the reason.
    """
    if device == "cpu":
        return Machine("cpu")
    reason, compute_capability = _look_for_cuda()
    if reason is None:
        return Machine("cuda", compute_capability)
    if device == "cuda":
        raise RequestError(f"--device cuda: {reason}; {DRIVER_ADVICE}")
    return Machine("cpu")


def cuda_unusable() -> str | None:
    """Why CUDA cannot be used here: no driver, no visible device, a torch without CUDA or too new for the driver.
    None when it can."""
    return _look_for_cuda()[0]


def _look_for_cuda() -> tuple[str | None, tuple[int, int] | None]:
    """Why CUDA cannot be used, or None, and the device's compute capability."""
    notes: list[str] = []
    nvml = open_nvml(notes)
    if nvml is None:
        return "; ".join(note.removesuffix(f": {ALL_NULL}") for note in notes), None
    with nvml:
        driver, compute_capability = nvml.cuda_driver(), nvml.compute_capability()
    built = torch_cuda()
    if built is None:
        return f"torch {_version('torch')} is built without CUDA", compute_capability
    if driver is not None and _major(driver) < _major(built):
        return f"torch is built for CUDA {built}, and the NVIDIA driver runs CUDA {driver} at most", compute_capability
    return None, compute_capability


def torch_cuda() -> str | None:
    """The CUDA version that torch is built for, as `12.8`; None for a build without CUDA or without torch.

    Read from torch/version.py, because importing torch takes seconds and touches the machine.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    tree = ast.parse((Path(spec.origin).parent / "version.py").read_text(encoding="utf-8"))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        named_cuda = any(isinstance(target, ast.Name) and target.id == "cuda" for target in targets)
        if named_cuda and isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            return node.value.value if isinstance(node.value.value, str) else None
    return None


def environment(device: Literal["cpu", "cuda"]) -> Environment:
    """The record's environment for cells on that device; what cannot be found out is None."""
    gpu = driver = None
    nvml = open_nvml() if device == "cuda" else None
    if nvml is not None:
        with nvml:
            gpu, driver = nvml.name(), nvml.driver()
    return Environment(
        device=device, gpu=gpu, driver=driver, cuda=torch_cuda() if device == "cuda" else None,
        cpu=_cpu(), cores=_cores(), memory_bytes=_memory_bytes(),
        python=platform.python_version(), platform=platform.platform(), host=socket.gethostname(),
        harness=harness.__version__, packages=package_versions(), git=_git(Path.cwd()),
    )  # fmt: skip


def package_versions() -> dict[str, str]:
    """The versions of the packages that can change a result, where they are installed."""
    found = {name: _version(name) for name in PACKAGES}
    return {name: installed for name, installed in found.items() if installed is not None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _major(cuda: str) -> int:
    return int(cuda.split(".")[0])


def _cpu() -> str | None:
    """The processor's name as Linux or the platform tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None) or platform.processor() or None


def _cores() -> int | None:
    """Logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _memory_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().total)


def _git(folder: Path) -> Git | None:
    """Commit and state of the working tree around `folder` (tracked files, as `git describe --dirty`);
    None outside of one, without git, or where git does not answer in time."""
    commit = _ask_git(folder, "rev-parse", "--verify", "HEAD")
    state = _ask_git(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or state is None:
        return None
    return Git(commit=commit, dirty=bool(state))


def _ask_git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
