"""Records traces of real NVML calls, for nvml_player to play: what a driver answered while the sampler looked at it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from ctypes import Structure, addressof
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from harness.errors import StorageError
from harness.measure.nvml import open_nvml
from harness.measure.nvml_driver import Driver, Library, refusals
from harness.measure.nvml_player import CELL, MISMATCH, TRACE_VERSION, Answer, TraceHead, write_trace
from harness.measure.sampled_cell import SampledCell
from harness.measure.torch_memory import free_memory

WORK_BYTES = 2**30
WORK_WIDTH = 4096


class RecordingDriver:
    """Hands calls on to another driver and keeps what comes back, handles and this process's id replaced by names."""

    def __init__(self, driver: Driver) -> None:
        self.note = driver.note
        self.answers: list[Answer] = []
        self._driver = driver
        self._handles: dict[int, str] = {}
        self._last: dict[tuple[str, str], Answer] = {}
        self._began = time.monotonic()

    def call(self, function: str, *arguments: Any) -> Any:
        """The other driver's answer, or its refusal."""
        named = [self._plain(argument) for argument in arguments]
        try:
            result = self._driver.call(function, *arguments)
        except refusals() as error:
            self._keep(function, named, None, _error_name(error))
            raise
        self._keep(function, named, self._plain(result), None)
        return result

    def _keep(self, function: str, arguments: list[Any], result: Any, error: str | int | None) -> None:
        """Adds an answer, or counts it where it is the one before."""
        last = self._last.get((function, repr(arguments)))
        if last is not None and (last.result, last.error) == (result, error):
            last.times += 1
            return
        at = round(time.monotonic() - self._began, 4)
        answer = Answer(call=function, arguments=arguments or None, result=result, error=error, at=at)
        self._last[function, repr(arguments)] = answer
        self.answers.append(answer)

    def _plain(self, value: Any) -> Any:
        """As JSON has it: structures as objects of their fields, handles as `device 0`, `device 1` in the order in which they came."""
        import pynvml

        if isinstance(value, pynvml.c_nvmlDevice_t):
            return self._handles.setdefault(addressof(value.contents), f"device {len(self._handles)}")
        if isinstance(value, Structure):
            return {name: self._plain(getattr(value, name)) for name, *_ in value._fields_}
        if isinstance(value, pynvml.nvmlFriendlyObject):
            fields: Mapping[str, Any] = vars(value)
            return {name: CELL if name == "pid" and part == os.getpid() else self._plain(part) for name, part in fields.items()}
        if isinstance(value, list | tuple):
            return [self._plain(part) for part in value]
        return value.decode() if isinstance(value, bytes) else value


def record_trace(path: Path, seconds: float, period_ms: float, device: str) -> list[str]:
    """Records what NVML tells in that time, read as the sampler reads it, and writes the trace to `path`.

    device: `cpu` or `cuda`; on `cuda` this process works on the device in the second of three thirds, so that the trace
    has an idle, a busy and a left device. Returns what was recorded, in lines for a person. Raises StorageError.
    """
    driver = RecordingDriver(Library())
    lines: list[str] = []
    nvml = open_nvml(lines, driver)
    if nvml is not None:
        with nvml:
            lines.append(f"{nvml.name()}, driver {nvml.driver()}, CUDA {nvml.cuda_driver()}, compute capability {nvml.compute_capability()}")
            readings = take_readings(SampledCell(os.getpid(), nvml, None), seconds, period_ms / 1000, _OnCuda if device == "cuda" else None)
            lines.append(f"{readings} readings, one every {period_ms:g} ms")
            lines.extend(nvml.missing())
    head = TraceHead(
        nvml_trace=TRACE_VERSION, origin="recorded", about="; ".join(lines),
        made=datetime.now(UTC).isoformat(timespec="seconds"), period_ms=period_ms,
    )  # fmt: skip
    try:
        write_trace(path, head, driver.answers)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return [*lines, f"written to {path}"]


class Work(Protocol):
    """Something for the device to do and to hold."""

    def until(self, due: float) -> None:
        """Keeps the device busy until then, in time.monotonic() seconds."""

    def end(self) -> None:
        """Gives back what it held."""


def take_readings(cell: SampledCell, seconds: float, period: float, begin_work: Callable[[], Work] | None) -> int:
    """Reads the cell every `period` seconds, and works in the second of three thirds; returns how often it read.

    begin_work: None for no work. What it takes to begin (torch's import and a CUDA context are seconds) counts for no time, or the
    readings of the busy third would be taken one upon the other, with no work between them.
    """
    work: Work | None = None
    readings, began = max(math.ceil(seconds / period), 3), time.monotonic()
    for reading in range(readings):
        if begin_work is not None and work is None and 3 * reading // readings == 1:
            before = time.monotonic()
            work = begin_work()
            began += time.monotonic() - before
        due = began + reading * period
        if work is not None and 3 * reading // readings == 2:
            work.end()
            work, begin_work = None, None
        if work is not None:
            work.until(due)
        time.sleep(max(0.0, due - time.monotonic()))
        cell.read()
    return readings


class _OnCuda:
    """Matrix products on the device, and a block of its memory."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._held = torch.zeros(WORK_BYTES, dtype=torch.uint8, device="cuda")
        self._matrix = torch.ones(WORK_WIDTH, WORK_WIDTH, dtype=torch.float16, device="cuda")

    def until(self, due: float) -> None:
        """Keeps the device busy until then, in time.monotonic() seconds."""
        while time.monotonic() < due:
            self._torch.matmul(self._matrix, self._matrix)
            self._torch.cuda.synchronize()

    def end(self) -> None:
        """The allocator's cache too."""
        del self._held, self._matrix
        free_memory()


def _error_name(error: Exception) -> str | int:
    """`NO_PERMISSION` for NVML_ERROR_NO_PERMISSION; a code that this pynvml has no name for as it is."""
    import pynvml

    if isinstance(error, pynvml.NVMLLibraryMismatchError):
        return MISMATCH
    code = error.value  # type: ignore[attr-defined]
    names = (name.removeprefix("NVML_ERROR_") for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_") and value == code)
    return next(names, int(code))
