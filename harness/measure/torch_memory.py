"""What torch's caching allocator holds on the CUDA device in use: peaks between two points in time.

CUDA is never initialised from here: before the measured code has done so, nothing is allocated.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TorchPeaks:
    """Peak bytes since the last reset: in live tensors, and reserved from the driver. None without CUDA."""

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


def read_peaks(device: str) -> TorchPeaks:
    """The peaks since the last reset; all None on `cpu`, where torch does not count."""
    if device != "cuda":
        return TorchPeaks()
    import torch

    return TorchPeaks(torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())


def synchronise(device: str) -> None:
    """Waits until the CUDA device has done all it was given; on `cpu` work is done when it returns."""
    if device != "cuda":
        return
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
