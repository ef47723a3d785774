"""The telemetry sampler: a process of its own that looks at a cell from outside and writes telemetry.parquet.

    python -m harness.measure.sampler --pid 4711 --out telemetry.parquet [--period-ms 10] [--device cuda]

ends with the process 4711, or when its standard input is closed.
"""

from __future__ import annotations

import argparse
import math
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from harness.errors import StorageError
from harness.measure.host import resident_bytes
from harness.measure.nvml import ALL_NULL, Nvml, open_nvml
from harness.measure.telemetry import TelemetryFacts, TelemetryWriter, replacing

LOOK_FOR_CHILDREN_S = 0.5
MOST_TIME_FOR_CHILDREN = 0.05


def sample(
    pid: int, path: Path, period_ms: float, stop: Connection | int, device: str, ready: Connection | None = None
) -> None:
    """Samples `pid` and its children until it is gone, `stop` (a connection or a file descriptor) becomes readable
    or is closed, the parent of this process dies, or SIGTERM; then `path` is there, whole.

    The target of a process of its own: it takes over SIGINT and SIGTERM (Ctrl-C in a terminal reaches the whole
    group, and the telemetry must still be written). device: `cpu` or `cuda`. ready: gets True after the first row,
    when the device's memory before the cell is known. A disk that refuses ends the process with one line on stderr.
    """
    terminated = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: terminated.set())
    facts = TelemetryFacts(pid=pid, period_ms=period_ms, device=device)
    nvml = _open(device, facts.notes)
    try:
        with replacing(path) as aside:
            writer = TelemetryWriter(aside)
            _watch(_Cell(pid, nvml), writer, facts, stop, terminated, ready)
            facts.notes.extend(nvml.missing() if nvml else [])
            writer.close(facts)
    except StorageError as error:
        raise SystemExit(f"telemetry sampler: {error}") from error
    finally:
        if nvml is not None:
            nvml.close()


def _open(device: str, notes: list[str]) -> Nvml | None:
    """The device's readings for a cell on `cuda`; for a cell on `cpu` none, and the note says which is the reason."""
    nvml = open_nvml(notes)
    if nvml is not None and device != "cuda":
        nvml.close()
        notes.append(f"the cell runs on the CPU: {ALL_NULL}")
        return None
    return nvml


def _watch(
    cell: _Cell,
    writer: TelemetryWriter,
    facts: TelemetryFacts,
    stop: Connection | int,
    terminated: threading.Event,
    ready: Connection | None,
) -> None:
    """A row at every tick and a last one at the end, so that the readings reach over the cell's last phase."""
    parent = os.getppid()
    row = cell.read()
    facts.baseline_device_bytes = _baseline(row)
    writer.append(row)
    if ready is not None:
        with suppress(BrokenPipeError):  # who waited for it is dead, which the next reading tells
            ready.send(True)
    # poll, because epoll refuses a standard input that is a plain file.
    with selectors.PollSelector() as selector:
        selector.register(stop, selectors.EVENT_READ)
        for wait in _ticks(facts.period_ms / 1000):
            told = selector.select(wait)
            row = cell.read()
            writer.append(row)
            if told or terminated.is_set() or row["host_rss"] is None or os.getppid() != parent:
                return


def _ticks(period: float) -> Iterator[float]:
    """Seconds to wait for each next tick: ticks lie at start + k * period, those that were missed are left out."""
    start = time.monotonic()
    tick = 0
    while True:
        passed = (time.monotonic() - start) / period
        tick = max(tick + 1, math.ceil(passed))
        yield max(0.0, start + tick * period - time.monotonic())


def _baseline(row: dict[str, float | None]) -> int | None:
    """Bytes in use on the device without the cell, which may already have begun to use it."""
    used = row["nvml_device"]
    return None if used is None else int(used - (row["nvml_process"] or 0))


class _Cell:
    """The process that is sampled, its children, and the device."""

    def __init__(self, pid: int, nvml: Nvml | None) -> None:
        self._pid, self._nvml = pid, nvml
        self._children: list[int] = []
        self._look_again = 0.0

    def read(self) -> dict[str, float | None]:
        """One row; host_rss is None when the process is gone."""
        now = time.monotonic()
        if now >= self._look_again:
            self._children = _children(self._pid)
            spent = time.monotonic() - now
            self._look_again = now + max(LOOK_FOR_CHILDREN_S, spent / MOST_TIME_FOR_CHILDREN)
        own = resident_bytes(self._pid)
        row: dict[str, float | None] = {"at": time.monotonic(), "host_rss": own, "nvml_process": None, "nvml_device": None}
        if own is not None:
            row["host_rss"] = own + sum(resident_bytes(child) or 0 for child in self._children)
        if self._nvml is not None:
            row |= self._read_device(self._nvml)
        return row

    def _read_device(self, nvml: Nvml) -> dict[str, float | None]:
        utilisation_sm, utilisation_memory = nvml.utilisation()
        return {
            "nvml_process": nvml.process_memory([self._pid, *self._children]),
            "nvml_device": nvml.device_memory(),
            "utilisation_sm": utilisation_sm,
            "utilisation_memory": utilisation_memory,
            "power_w": nvml.power(),
            "temperature_c": nvml.temperature(),
            "energy_j": nvml.energy(),
        }


def _children(pid: int) -> list[int]:
    """All descendants of a process but this one."""
    import psutil

    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        # It ended between two looks: its own reading tells.
        return []
    return [child.pid for child in found if child.pid != os.getpid()]


def main(arguments: list[str] | None = None) -> None:
    """The command line of the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m harness.measure.sampler", description=__doc__)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--period-ms", type=float, default=10.0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args(arguments)
    sample(given.pid, given.out, given.period_ms, sys.stdin.fileno(), given.device)


if __name__ == "__main__":
    main()
