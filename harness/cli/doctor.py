"""`harness doctor [SUITE]`: what this installation can do, as text to paste into a bug report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from harness.needs import Machine
    from harness.suite.plan import Plan

Row = tuple[str, str]


def doctor_command(
    suite: Annotated[str | None, typer.Argument(help="Also say which cells of this suite cannot run here.")] = None,
    profile: Annotated[str | None, typer.Option(help="The suite's profile.")] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Judge for this device.")] = "auto",
) -> None:
    """Say what works here and what does not: versions, device, schemes, methods, disks, hub.

    With a suite, exit code 1 when some of its cells cannot run here.
    """
    from harness.measure.environment import machine

    target = machine(device)
    for title, rows in (
        ("versions", _versions()),
        ("device", _device(target)),
        ("bitsandbytes", _bitsandbytes()),
        ("schemes", _available("scheme", target)),
        ("methods", _available("method", target)),
        ("tasks", _available("task", target)),
        ("disk", _disks()),
        ("hub", _hub()),
    ):
        _show(title, rows)
    if suite is not None:
        plan = _plan(suite, profile, target)
        _show(f"suite {plan.suite_name}", _cells(plan))
        if plan.unsupported:
            raise typer.Exit(1)


def _show(title: str, rows: Iterator[Row]) -> None:
    print(title)
    for name, value in rows:
        print(f"  {name:<24} {value}")
    print()


def _versions() -> Iterator[Row]:
    from harness.measure.environment import environment

    found = environment("cpu")
    yield "harness", found.harness
    yield "python", found.python
    yield "platform", found.platform
    yield "cpu", f"{found.cpu or 'unknown'}, {found.cores} cores, {_size(found.memory_bytes)}"
    yield from found.packages.items()
    if found.git is not None:
        yield "git", found.git.commit + (", changed" if found.git.dirty else "")


def _device(target: Machine) -> Iterator[Row]:
    from harness.measure.environment import cuda_unusable, torch_cuda
    from harness.measure.installation import unread_by_nvml
    from harness.measure.nvml import open_nvml

    yield "cells run on", target.device
    yield "CUDA", cuda_unusable() or "usable"
    yield "torch built for CUDA", torch_cuda() or "no"
    notes: list[str] = []
    nvml = open_nvml(notes)
    if nvml is None:
        yield "NVML", "; ".join(notes)
        return
    with nvml:
        capability = nvml.compute_capability()
        yield "GPU", f"{nvml.name()}, {_size(nvml.device_memory_total())}, {_size(nvml.device_memory())} in use"
        yield "compute capability", ".".join(map(str, capability)) if capability else "unknown"
        yield "driver", f"{nvml.driver()}, runs CUDA up to {nvml.cuda_driver()}"
        yield "NVML", "; ".join([*notes, *unread_by_nvml(nvml)]) or "gives every reading"


def _bitsandbytes() -> Iterator[Row]:
    from harness.measure.installation import bitsandbytes_library

    yield "native library", bitsandbytes_library()


def _available(kind: Literal["scheme", "method", "task"], target: Machine) -> Iterator[Row]:
    """Names that can be served here in one row, then a row for each that cannot, with the reason."""
    from harness.methods.base import METHODS
    from harness.quantization.base import SCHEMES
    from harness.tasks.base import TASKS

    registry: Any = {"scheme": SCHEMES, "method": METHODS, "task": TASKS}[kind]
    reasons = {name: cls.needs.unmet(target, None) for name, cls in registry.items()}
    yield "available", ", ".join(name for name, reason in reasons.items() if reason is None) or "none"
    yield from ((name, reason) for name, reason in reasons.items() if reason is not None)


def _disks() -> Iterator[Row]:
    from huggingface_hub import constants

    from harness.measure.installation import free_bytes
    from harness.models.source import cache_folder
    from harness.runs.run import RunOptions

    for name, folder in (
        ("results", RunOptions.results.absolute()),
        ("cache", cache_folder()),
        ("hub cache", Path(constants.HF_HUB_CACHE)),
    ):
        free, writable = free_bytes(folder)
        yield name, f"{folder}: {_size(free)} free{'' if writable else ', NOT writable'}"


def _hub() -> Iterator[Row]:
    from huggingface_hub import constants

    from harness.measure.installation import unreachable

    if constants.HF_HUB_OFFLINE:
        yield constants.ENDPOINT, "not asked: HF_HUB_OFFLINE is set"
        return
    reason = unreachable(constants.ENDPOINT)
    advice = "hub: models and data must be in the cache; micro:, path: and random: work"
    yield constants.ENDPOINT, "reachable" if reason is None else f"not reachable ({reason}); {advice}"


def _plan(suite: str, profile: str | None, target: Machine) -> Plan:
    from harness.suite.find import find_suite
    from harness.suite.load import load_suite
    from harness.suite.plan import make_plan

    return make_plan(load_suite(find_suite(suite), profile), target)


def _cells(plan: Plan) -> Iterator[Row]:
    """How many cells can run, and for each reason how many cannot, with the first of them."""
    yield "cells", f"{len(plan.cells) - len(plan.unsupported)} of {len(plan.cells)} can run here"
    by_reason = defaultdict(list)
    for cell in plan.unsupported:
        by_reason[cell.unsupported].append(cell)
    for reason, cells in by_reason.items():
        others = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        yield "unsupported", f"{cells[0].labels}{others}: {reason}"


def _size(size: int | None) -> str:
    from harness.quantities import quantity

    return quantity("memory.peak_vram").show(size)
