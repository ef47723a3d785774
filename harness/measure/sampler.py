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
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from harness.errors import StorageError
from harness.measure.board import Board
from harness.measure.nvml import ALL_NULL, Nvml, open_nvml
from harness.measure.nvml_driver import open_driver
from harness.measure.sampled_cell import Row, SampledCell
from harness.measure.telemetry import TelemetryFacts, TelemetryWriter, replacing


def sample(
    pid: int,
    path: Path,
    period_ms: float,
    stop: Connection | int,
    device: str,
    ready: Connection | None = None,
    board: Board | None = None,
) -> None:
    """Samples `pid` and its children until it is gone, `stop` (a connection or a file descriptor) becomes readable
    or is closed, the parent of this process dies, or SIGTERM; then `path` is there, whole.

    The target of a process of its own: it takes over SIGINT and SIGTERM (Ctrl-C in a terminal reaches the whole
    group, and the telemetry must still be written). device: `cpu` or `cuda`. ready: gets True after the first row,
    when the device's memory before the cell is known. board: what the cell shows of itself, None where it has none.
    A disk that refuses ends the process with one line on stderr.
    """
    terminated, parent = threading.Event(), os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: terminated.set())
    facts = TelemetryFacts(pid=pid, period_ms=period_ms, device=device)
    nvml = _open(device, pid, facts.notes)
    try:
        with replacing(path) as aside:
            writer, cell = TelemetryWriter(aside), SampledCell(pid, nvml, board)
            _watch(cell, writer, facts, stop, lambda: terminated.is_set() or os.getppid() != parent, ready)
            cell.tell(facts)
            facts.notes.extend(nvml.missing() if nvml else [])
            writer.close(facts)
    except StorageError as error:
        raise SystemExit(f"telemetry sampler: {error}") from error
    finally:
        if nvml is not None:
            nvml.close()


def _open(device: str, pid: int, notes: list[str]) -> Nvml | None:
    """The device's readings for a cell on `cuda`; for a cell on `cpu` none, and the note says which is the reason."""
    nvml = open_nvml(notes, open_driver(pid))
    if nvml is not None and device != "cuda":
        nvml.close()
        notes.append(f"the cell runs on the CPU: {ALL_NULL}")
        return None
    return nvml


def _watch(
    cell: SampledCell,
    writer: TelemetryWriter,
    facts: TelemetryFacts,
    stop: Connection | int,
    told_to_end: Callable[[], bool],
    ready: Connection | None,
) -> None:
    """A row at every tick and a last one at the end, so that the readings reach over the cell's last phase."""
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
            stopped = selector.select(wait)
            row = cell.read()
            writer.append(row)
            if stopped or told_to_end() or row["host_rss"] is None:
                return


def _ticks(period: float) -> Iterator[float]:
    """Seconds to wait for each next tick: ticks lie at start + k * period, those that were missed are left out."""
    start = time.monotonic()
    tick = 0
    while True:
        passed = (time.monotonic() - start) / period
        tick = max(tick + 1, math.ceil(passed))
        yield max(0.0, start + tick * period - time.monotonic())


def _baseline(row: Row) -> int | None:
    """Bytes in use on the device without the cell, which may already have begun to use it."""
    used = row.get("nvml_device")
    return None if used is None else int(used - (row.get("nvml_process") or 0))


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
