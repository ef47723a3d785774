"""What torch's caching allocator holds on the CUDA device in use: peaks between two points in time.

CUDA is never initialised from here: before the measured code has done so, nothing is allocated.
"""

from __future__ import annotations

import errno
import gc
import re
from dataclasses import dataclass

# What torch, its allocators, cuBLAS and bitsandbytes say when memory ran out, where the exception's type does not.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|CUBLAS_STATUS_ALLOC_FAILED|std::bad_alloc|Cannot allocate memory"
)


@dataclass(frozen=True)
class TorchBytes:
    """Bytes now, or at the peak since the last reset: in live tensors, and reserved from the driver. None without CUDA."""

    allocated: int | None = None
    reserved: int | None = None


def reset_peaks(device: str) -> None:
    """Starts a new measurement on `cuda`; nothing to do on `cpu`.

    What the allocator keeps for later is given back first, or the next phase's reserved memory and NVML's reading
    would be the last one's.
    """
    if device != "cuda":
        return
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def out_of_memory(error: BaseException) -> bool:
    """Whether the error, or what caused it, says that the device or the host had no memory left."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)):
        return True
    return error.__cause__ is not None and out_of_memory(error.__cause__)


def free_memory() -> None:
    """Gives back what nothing refers to any more, cycles and the allocator's cache included: called after memory ran out."""
    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def read_current() -> TorchBytes:
    """What torch holds on the CUDA device in use now; None before CUDA is in use. The allocator's own counters: no synchronisation."""
    import torch

    counters = torch.cuda.memory_stats_as_nested_dict()  # memory_stats would flatten and sort all of them, at every step
    if not counters:
        return TorchBytes()
    return TorchBytes(counters["allocated_bytes"]["all"]["current"], counters["reserved_bytes"]["all"]["current"])


def read_peaks(device: str) -> TorchBytes:
    """The peaks since the last reset; all None on `cpu`, where torch does not count."""
    if device != "cuda":
        return TorchBytes()
    import torch

    return TorchBytes(torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())


def synchronise(device: str) -> None:
    """Waits until the CUDA device has done all it was given; on `cpu` work is done when it returns."""
    if device != "cuda":
        return
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
