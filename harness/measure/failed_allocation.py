"""What is known of an allocation that failed: how much was asked for, how much there was."""

from __future__ import annotations

import re

from harness.measure.memory_limit import host_limit
from harness.records.schema import OutOfMemory

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = r"([0-9.]+) (bytes|KiB|MiB|GiB)"

# torch's c10/cuda/CUDACachingAllocator.cpp, where it raises OutOfMemoryError; two decimals of the unit. Torch 2.11 to 2.13:
# "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 14.56 GiB of which 10.22 MiB is free.
# Including non-PyTorch memory, this process has 14.11 GiB memory in use. 4.00 GiB allowed; Of the allocated memory 3.72 GiB is
# allocated by PyTorch, and 264.21 MiB is reserved by PyTorch but unallocated."
_CUDA = {
    "asked": re.compile(rf"Tried to allocate {_SIZE}"),
    "total": re.compile(rf"total capacity of {_SIZE}"),
    "free": re.compile(rf"of which {_SIZE} is free"),
    "allowed": re.compile(rf"{_SIZE} allowed;"),
    "allocated": re.compile(rf"Of the allocated memory {_SIZE} is allocated by PyTorch"),
    "unallocated": re.compile(rf"{_SIZE} is reserved by PyTorch but unallocated"),
}
_ON_DEVICE = re.compile(r"CUDA|CUBLAS|cuda")
# c10/core/impl/alloc_cpu.cpp: "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you
# tried to allocate 400000000000000 bytes. Error code 12 (Cannot allocate memory)"
# aten/src/ATen/MapAllocator.cpp: "unable to mmap 2154432 bytes from file <model.safetensors>: Cannot allocate memory (12)"
_HOST_ASKED = re.compile(r"(?:you tried to allocate|unable to mmap) ([0-9]+) bytes")


def failed_allocation(error: BaseException) -> OutOfMemory:
    """Bytes asked for, free, allocated, reserved and in total, as far as the error or torch tells; called where it was caught.

    Sizes from torch's CUDA message are rounded to two decimals of their unit, as it prints them; what the message does not
    have is asked of torch, in this process, as long as its CUDA context answers. Of nested errors the one that tells most counts.
    """
    text = _texts(error)
    if _ON_DEVICE.search(text):
        return _on_device(text)
    asked = _HOST_ASKED.search(text)
    return on_host(int(asked.group(1)) if asked else None)


def on_host(asked: int | None = None) -> OutOfMemory:
    """An allocation that failed on this machine's host: what is free now, and what there is, as far as this process may have it."""
    import psutil

    memory, limit = psutil.virtual_memory(), host_limit()
    free, total = int(memory.available), int(memory.total)
    if limit is not None:
        free, total = min(free, limit.free), min(total, limit.total)
    return OutOfMemory(where="host", asked=asked, free=free, total=total)


def killed_for_memory() -> OutOfMemory:
    """What is known of a process that the kernel killed to have its memory: how much the host has."""
    import psutil

    return OutOfMemory(where="host", total=int(psutil.virtual_memory().total))


def _texts(error: BaseException) -> str:
    """What the error says, and what it was raised from."""
    texts: list[str] = []
    found: BaseException | None = error
    while found is not None:
        texts.append(f"{type(found).__name__}: {found}")
        found = found.__cause__
    return "\n".join(texts)


def _on_device(text: str) -> OutOfMemory:
    sizes = {name: _bytes(pattern.search(text)) for name, pattern in _CUDA.items()}
    allocated, unallocated = sizes["allocated"], sizes["unallocated"]
    reserved = None if allocated is None or unallocated is None else allocated + unallocated
    found = OutOfMemory(where="device", asked=sizes["asked"], free=sizes["free"], allocated=allocated, reserved=reserved, total=sizes["total"])
    if None in (found.free, found.allocated, found.reserved, found.total):
        found = _completed(found)
    if sizes["allowed"] is None:
        return found
    room = None if found.reserved is None else max(0, sizes["allowed"] - found.reserved)
    free = found.free if room is None else room if found.free is None else min(found.free, room)
    return found.model_copy(update={"total": sizes["allowed"], "free": free})


def _bytes(match: re.Match[str] | None) -> int | None:
    return None if match is None else round(float(match.group(1)) * _UNITS[match.group(2)])


def _completed(found: OutOfMemory) -> OutOfMemory:
    """With what torch knows of the device now; as it was where there is no context, or a broken one that answers nothing."""
    import torch

    if not torch.cuda.is_initialized():
        return found
    try:
        free, total = torch.cuda.mem_get_info()
        allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    except RuntimeError:  # the context is broken: then the message is all that is known
        return found
    known = {"free": free, "total": total, "allocated": allocated, "reserved": reserved}
    return found.model_copy(update={name: value for name, value in known.items() if getattr(found, name) is None})
