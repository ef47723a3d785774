"""`limits.memory_bytes`: the most memory that a cell may take, so that one can ask on a large card what a small one could hold.

What a process has before the cell does anything comes on top. On CUDA the limit binds torch's caching allocator, and neither the
CUDA context nor what libraries allocate past torch; on a CPU it binds the private writable memory of the cell's process, without
what its imports have (Linux, RLIMIT_DATA: it counts anonymous mappings since Linux 4.7, and neither shared libraries nor files
mapped to be read).
"""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

ENOUGH_FOR_A_THREAD = 2**16  # elements; torch gives a thread no fewer than 2^15 (at::internal::GRAIN_SIZE)
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class HostLimit:
    """What this process may have on the host, and how much of that is left now, in bytes."""

    total: int
    free: int


class _Held:
    """What binds this process: a limit is the process's own, like its resource limits, and ends with it."""

    limit: int | None = None
    before: int = 0  # private bytes that are not counted


def hold(limit: int, device: str) -> str:
    """From now on allocations of this process beyond `limit` bytes fail as if there were no more memory; returns a note for the
    record that says what is held and what is not."""
    return _hold_cuda(limit) if device == "cuda" else _hold_host(limit)


def release() -> None:
    """Gives the process its memory back: whoever tells how a cell ended needs some. What was held is still known to `host_limit`."""
    if _Held.limit is not None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def host_limit() -> HostLimit | None:
    """What `hold` has left this process on the host, released or not; None without a limit."""
    taken = private_bytes()
    if _Held.limit is None or taken is None:
        return None
    return HostLimit(_Held.limit, max(0, _Held.before + _Held.limit - taken))


def private_bytes() -> int | None:
    """The private writable memory of this process, reserved or used, as RLIMIT_DATA counts it (VmData); None where the kernel does not tell."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")]
    return sizes[0] if sizes else None


def _hold_cuda(limit: int) -> str:
    import torch

    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    if limit >= total:
        return f"limits.memory_bytes: the device has {total:,} bytes, so {limit:,} are no limit"
    torch.cuda.set_per_process_memory_fraction(limit / total)
    return f"limits.memory_bytes: torch's allocator may hold {limit:,} bytes; the CUDA context and what is allocated past torch come on top"


def _start_threads() -> None:
    """OpenMP starts its threads when they are first needed, and ends the process where one gets no stack. Started before the
    limit is taken, they are not counted either."""
    import torch

    torch.ones(torch.get_num_threads() * ENOUGH_FOR_A_THREAD).sum()


def _hold_host(limit: int) -> str:
    _start_threads()
    before, hard = private_bytes(), resource.getrlimit(resource.RLIMIT_DATA)[1]
    if sys.platform != "linux" or before is None:
        return f"limits.memory_bytes: {sys.platform} has no such limit on a process: it was not held"
    if hard != resource.RLIM_INFINITY and hard < before + limit:
        return f"limits.memory_bytes: this process may have {hard - before:,} bytes as it is, so {limit:,} are no limit"
    resource.setrlimit(resource.RLIMIT_DATA, (before + limit, hard))
    _Held.limit, _Held.before = limit, before
    return f"limits.memory_bytes: the cell may have {limit:,} bytes of private memory; what its process has imported comes on top"
