"""Host memory: the resident set of a process, now and at its peak between two points in time."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from mmap import PAGESIZE
from pathlib import Path

CLEAR_REFS = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")
RESET_HIGH_WATER_MARK = "5"  # proc(5), clear_refs


def resident_bytes(pid: int) -> int | None:
    """The resident set of a process, shared pages included; None when it is gone or a zombie."""
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
                resident = int(file.read(128).split()[1]) * PAGESIZE
        except (FileNotFoundError, ProcessLookupError):
            return None
        return resident or None
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return None


def descendants(pid: int) -> list[int]:
    """All living processes below that one; none when it is gone. One that starts meanwhile may be missed until the next look.

    Linux' own list of a thread's children, where the kernel has it (CONFIG_PROC_CHILDREN), costs a fiftieth of what a look at every
    process of the machine does, which is how psutil finds them.
    """
    threads = Path(f"/proc/{pid}/task")
    if (threads / str(pid) / "children").exists():
        return _listed_below(threads)
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:  # it ended between two looks
        return []


def _listed_below(threads: Path) -> list[int]:
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):  # it ended between two looks
        for thread in os.listdir(threads):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (threads / thread / "children").read_bytes().split())
    return found + [below for child in found for below in _listed_below(Path(f"/proc/{child}/task"))]


class HostPeak:
    """The peak resident set of this process from `start` to `read`.

    On Linux the kernel keeps it (VmHWM, set back at `start`); where the kernel does not let it be set back,
    the larger of the resident sets at start and at `read`, and `fallback` says so.
    """

    def __init__(self) -> None:
        self.fallback: str | None = None
        self._at_start: int | None = None

    def start(self) -> None:
        """Begins a new measurement. What the C library keeps for later is given back first, as torch_memory does for the device."""
        _give_back()
        self._at_start = resident_bytes(os.getpid())
        self.fallback = _reset_high_water_mark()

    def read(self) -> int | None:
        """Peak bytes since `start`."""
        if self.fallback is None:
            return _high_water_mark()
        known = [value for value in (self._at_start, resident_bytes(os.getpid())) if value is not None]
        return max(known, default=None)


def _give_back() -> None:
    """Returns freed memory to the system, where the C library is one that can be asked to (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _reset_high_water_mark() -> str | None:
    """Sets VmHWM of this process to its resident set; returns why not, None when done."""
    try:
        CLEAR_REFS.write_text(RESET_HIGH_WATER_MARK)
    except OSError as error:
        reason = error.strerror or str(error)
        return (
            f"the peak of the host's memory cannot be set back here ({CLEAR_REFS}: {reason}): "
            "host_rss of a phase is the larger of its start, its end and the sampler's readings"
        )
    return None


def _high_water_mark() -> int | None:
    for line in STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
