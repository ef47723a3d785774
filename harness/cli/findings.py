"""What `harness doctor` finds, section by section, as rows of text: every section asks the room that knows."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from harness.measure.nvml import Nvml
    from harness.needs import Machine

GIB = 2**30
#: Bytes free below which a disk's row is a warning: records are small, the weights of a 7B model take 13.5 GB.
LEAST_FREE = {"results": 1 * GIB, "cache": 30 * GIB, "hub cache": 30 * GIB}
#: Variables whose values change what is measured, and tell nothing that is secret.
SETTINGS = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HARNESS_CACHE", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE",
)  # fmt: skip
#: Variables of which only whether they are set is told.
SECRET = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTPS_PROXY", "HTTP_PROXY")
DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}  # torch's names -> the table of cards'


@dataclass(frozen=True)
class Row:
    """One finding. trouble: whether it is something that does not work, or may not. scheme: the one that a kernel's row is about."""

    name: str
    value: str
    trouble: bool = False
    scheme: str | None = None


def versions() -> Iterator[Row]:
    """harness, Python, platform, processor, packages that can change a result, git."""
    from harness.measure.environment import environment

    found = environment("cpu")
    yield Row("harness", found.harness)
    yield Row("python", found.python)
    yield Row("platform", found.platform)
    yield Row("cpu", f"{found.cpu or 'unknown'}, {found.cores} cores, {_size(found.memory_bytes)}")
    yield from (Row(name, version) for name, version in found.packages.items())
    if found.git is not None:
        yield Row("git", found.git.commit + (", changed" if found.git.dirty else ""))


def device(target: Machine) -> Iterator[Row]:
    """The device that cells run on, the driver, and what NVML tells."""
    from harness.measure.environment import cuda_unusable, torch_cuda
    from harness.measure.nvml import open_nvml

    unusable = cuda_unusable()
    yield Row("cells run on", target.device)
    yield Row("CUDA", unusable or "usable", unusable is not None)
    yield Row("torch built for CUDA", torch_cuda() or "no")
    notes: list[str] = []
    nvml = open_nvml(notes)
    if nvml is None:
        yield Row("NVML", "; ".join(notes), True)
        return
    with nvml:
        yield from _driver(nvml, notes)


def _driver(nvml: Nvml, notes: list[str]) -> Iterator[Row]:
    from harness.measure.installation import unread_by_nvml

    name, capability = nvml.name(), nvml.compute_capability()
    yield Row("GPU", f"{name}, {_size(nvml.device_memory_total())}, {_size(nvml.device_memory())} in use")
    yield Row("compute capability", ".".join(map(str, capability)) if capability else "unknown")
    yield Row("driver", f"{nvml.driver()}, runs CUDA up to {nvml.cuda_driver()}")
    yield _card(name)
    refused = [*notes, *unread_by_nvml(nvml)]
    yield Row("NVML", "; ".join(refused) or "gives every reading", bool(refused))


def _card(name: str | None) -> Row:
    from harness.measure.cards import card_of

    card = None if name is None else card_of(name)
    if card is None:
        return Row("card", "not in the table of cards: model FLOPs utilisation is null", True)
    peaks = ", ".join(f"{dtype} {rate / 1e12:g}" for dtype, rate in card.peaks.items())
    return Row("card", f"{card.name}: {peaks} TFLOP/s dense, {card.bandwidth / 1e9:g} GB/s ({card.source})")


def torch_on(target: Machine, asked: bool) -> Iterator[Row]:
    """What torch makes of the device: really tried on a GPU, on a CPU only where it was asked for."""
    from harness.measure.device_trial import try_device

    if target.device == "cpu" and not asked:
        yield Row("not tried", "cells run on the CPU; --kernels tries torch there too")
        return
    found = try_device("cuda" if target.device == "cuda" else "cpu")
    if isinstance(found, str):
        yield Row("failed", found, True)
        return
    if target.device == "cuda":
        yield Row("compiled for", ", ".join(found.architectures) or "nothing")
        yield Row("serves this card", found.misfit or "yes", found.misfit is not None)
        if found.misfit is not None:
            return
        yield Row("bfloat16", "yes" if found.bfloat16 else "no", not found.bfloat16)
        hidden = "no: the driver hides this process (a container's process ids, MIG, WSL), so memory is the device's, less what was there before"
        seen = hidden if found.nvml_process is None else f"yes, {_size(found.nvml_process)} with an empty CUDA context"
        yield Row("NVML sees this process", seen, found.nvml_process is None)
    peaks = _peaks() if target.device == "cuda" else {}
    for dtype, flops in found.flops.items():
        peak = peaks.get(DTYPES[dtype])
        yield Row(f"matrix product, {dtype}", f"{flops / 1e12:.3g} TFLOP/s" + (f", {100 * flops / peak:.0f} % of the card's peak" if peak else ""))
    yield from (Row("note", note, True) for note in found.notes)


def _peaks() -> dict[str, float]:
    from harness.measure.cards import card_of
    from harness.measure.nvml import open_nvml

    nvml = open_nvml()
    if nvml is None:
        return {}
    with nvml:
        name = nvml.name()
    card = None if name is None else card_of(name)
    return {} if card is None else {str(dtype): rate for dtype, rate in card.peaks.items()}


def bitsandbytes() -> Iterator[Row]:
    """Whether its native library is there, and for which device."""
    from harness.measure.installation import bitsandbytes_library

    told = bitsandbytes_library()
    yield Row("native library", told, not told.startswith("loaded"))


def packages() -> Iterator[Row]:
    """The extras of harness: which of their packages are there."""
    from harness.measure.installation import extras

    found = extras()
    if found is None:
        yield Row("extras", "harness is not installed as a package here (PYTHONPATH), so its extras are unknown")
        return
    for extra, present in found.items():
        missing = [name for name, version in present.items() if version is None]
        have = ", ".join(f"{name} {version}" for name, version in present.items() if version is not None)
        lacks = f"missing: {', '.join(missing)} (pip install 'harness[{extra}]')" if missing else ""
        yield Row(extra, "; ".join(filter(None, [have, lacks])))


def available(kind: Literal["scheme", "method", "task"], target: Machine) -> Iterator[Row]:
    """Names that can be served here in one row, then a row for each that cannot, with the reason."""
    from harness.methods.base import METHODS
    from harness.quantization.base import SCHEMES
    from harness.tasks.base import TASKS

    registry: Any = {"scheme": SCHEMES, "method": METHODS, "task": TASKS}[kind]
    reasons = {name: cls.needs.unmet(target, None) for name, cls in registry.items()}
    yield Row("available", ", ".join(name for name, reason in reasons.items() if reason is None) or "none")
    yield from (Row(name, reason, True) for name, reason in reasons.items() if reason is not None)


def kernels(target: Machine, schemes: Collection[str] | None) -> Iterator[Row]:
    """Every scheme's kernels, tried. schemes: those to try, None: all."""
    from harness.quantization.kernels_here import kernels_here, not_tried

    for trial in kernels_here(target, schemes):
        computed = f"computes in {trial.dtype}: {trial.computed_by or 'torch'}"
        if trial.error is not None:
            computed += f", relative error {trial.error:.1g}"
        yield Row(str(trial.candidate), trial.reason or computed, trial.reason is not None, trial.candidate.scheme)
    yield Row("not tried", not_tried())


def kernels_untried() -> Iterator[Row]:
    """That they were not."""
    yield Row("not tried", "--kernels tries each scheme's on a tiny model")


def settings() -> Iterator[Row]:
    """Environment variables that change what is measured; of secret ones whether they are set."""
    from huggingface_hub import constants

    yield from (Row(name, os.environ[name]) for name in SETTINGS if name in os.environ)
    yield from (Row(name, "set" if os.environ.get(name) else "not set") for name in SECRET)
    yield Row("token of a hub login", "there" if Path(constants.HF_TOKEN_PATH).is_file() else "none")


def disks() -> Iterator[Row]:
    """Free space where results, quantized weights and downloads go."""
    from huggingface_hub import constants

    from harness.measure.installation import free_bytes
    from harness.models.source import cache_folder
    from harness.runs.run import RunOptions

    folders = {"results": RunOptions.results.absolute(), "cache": cache_folder(), "hub cache": Path(constants.HF_HUB_CACHE)}
    for name, folder in folders.items():
        free, writable = free_bytes(folder)
        little = free is not None and free < LEAST_FREE[name]
        told = f"{folder}: {_size(free)} free" + (f", little: {_size(LEAST_FREE[name])} should be" if little else "")
        yield Row(name, told + ("" if writable else ", NOT writable"), little or not writable)


def hub() -> Iterator[Row]:
    """Whether the hub answers."""
    from huggingface_hub import constants

    from harness.measure.installation import unreachable, without_credentials

    endpoint = without_credentials(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE:
        yield Row(endpoint, "not asked: HF_HUB_OFFLINE is set")
        return
    reason = unreachable(constants.ENDPOINT)
    advice = "hub: models and data must be in the cache; micro:, path: and random: work"
    yield Row(endpoint, "reachable" if reason is None else f"not reachable ({reason}); {advice}", reason is not None)


def _size(size: int | None) -> str:
    from harness.quantities import quantity

    return quantity("memory.peak_vram").show(size)
