"""What an allocation that failed tells: torch's own messages, and real failures on this host."""

from __future__ import annotations

import multiprocessing
import resource
from typing import Any

import psutil
import pytest
import torch

from harness.measure import memory_limit
from harness.measure.failed_allocation import failed_allocation, killed_for_memory, on_host
from harness.records.schema import OutOfMemory

MIB, GIB = 2**20, 2**30

# The text that c10/cuda/CUDACachingAllocator.cpp builds, as users of torch 2.6 to 2.11 reported it; with and without other processes.
OTHERS = (
    "CUDA out of memory. Tried to allocate 36.00 GiB. GPU 0 has a total capacity of 14.56 GiB of which 10.22 GiB is free. Including "
    "non-PyTorch memory, this process has 4.11 GiB memory in use. Process 17435 has 240.00 MiB memory in use. Of the allocated memory "
    "3.72 GiB is allocated by PyTorch, and 264.21 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is "
    "large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)
POOLS = (
    "CUDA out of memory. Tried to allocate 786.00 MiB. GPU 0 has a total capacity of 79.11 GiB of which 140.75 MiB is free. Process 3270336 "
    "has 78.96 GiB memory in use. Of the allocated memory 68.83 GiB is allocated by PyTorch, with 660.00 MiB allocated in private pools "
    "(e.g., CUDA Graphs), and 331.08 MiB is reserved by PyTorch but unallocated."
)
# with a limit set, the same source adds how much is allowed
LIMITED = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 139.80 GiB of which 100.00 GiB is free. Including "
    "non-PyTorch memory, this process has 16.50 GiB memory in use. 16.00 GiB allowed; Of the allocated memory 15.50 GiB is allocated by "
    "PyTorch, and 512.00 MiB is reserved by PyTorch but unallocated."
)
TINY = "CUDA out of memory. Tried to allocate 512 bytes. GPU 0 has a total capacity of 10.00 GiB of which 0 bytes is free. "


def test_torchs_message_is_taken_apart() -> None:
    found = failed_allocation(torch.OutOfMemoryError(OTHERS))
    assert found == OutOfMemory(
        where="device", asked=36 * GIB, free=round(10.22 * GIB), allocated=round(3.72 * GIB),
        reserved=round(3.72 * GIB) + round(264.21 * MIB), total=round(14.56 * GIB),
    )  # fmt: skip


def test_private_pools_are_allocated_memory() -> None:
    found = failed_allocation(torch.OutOfMemoryError(POOLS))
    assert (found.asked, found.allocated) == (786 * MIB, round(68.83 * GIB))
    assert found.reserved == round(68.83 * GIB) + round(331.08 * MIB)


def test_under_a_limit_the_total_is_what_was_allowed_and_free_what_was_left_of_it() -> None:
    found = failed_allocation(torch.OutOfMemoryError(LIMITED))
    assert (found.total, found.reserved, found.free) == (16 * GIB, 16 * GIB, 0)


def test_sizes_in_bytes_are_read_and_what_is_not_said_is_none() -> None:
    found = failed_allocation(torch.OutOfMemoryError(TINY))
    assert (found.asked, found.free, found.allocated, found.reserved) == (512, 0, None, None)


def test_an_error_of_cublas_is_the_devices_though_it_tells_no_size() -> None:
    found = failed_allocation(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert found.where == "device"
    assert found.asked is None


def test_a_host_allocation_tells_what_it_asked_for() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**14)
    found = failed_allocation(caught.value)
    assert (found.where, found.asked) == ("host", 4 * 10**14)
    assert found.total == psutil.virtual_memory().total
    assert found.free is not None
    assert 0 < found.free <= found.total


def test_what_an_error_was_raised_from_is_read_too() -> None:
    error = ValueError("the model could not be loaded")
    error.__cause__ = torch.OutOfMemoryError(OTHERS)
    assert failed_allocation(error).asked == 36 * GIB


def test_of_a_kill_only_the_hosts_memory_is_known() -> None:
    assert killed_for_memory() == OutOfMemory(where="host", total=psutil.virtual_memory().total)


def _under_a_limit(answer: Any, limit: int) -> None:
    """In a process of its own: a quarter of the limit, then as much as all of it."""
    note = memory_limit.hold(limit, "cpu")
    kept = torch.empty(limit // 4, dtype=torch.uint8)
    try:
        torch.empty(limit, dtype=torch.uint8)
    except RuntimeError as error:
        found = failed_allocation(error)
        answer.send((note, len(kept), found.asked, found.total, found.free, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    answer.close()


def test_a_process_on_the_cpu_gets_no_more_than_its_limit() -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_under_a_limit, args=(theirs, 200 * MIB))
    process.start()
    theirs.close()
    note, kept, asked, total, free, hard = ours.recv()
    process.join()
    assert "limits.memory_bytes: the cell may have 209,715,200 bytes of private memory" in note
    assert (kept, asked, total) == (50 * MIB, 200 * MIB, 200 * MIB)
    assert 100 * MIB < free <= 150 * MIB
    assert hard == resource.RLIM_INFINITY, "only the soft limit is set"
    assert memory_limit.host_limit() is None, "the limit is the process's own"
    assert on_host().total == psutil.virtual_memory().total


def _on_a_device_with_a_limit(answer: Any) -> None:
    """In a process of its own: half a GiB, then more than the GiB that the limit leaves."""
    memory_limit.hold(GIB, "cuda")
    kept = torch.empty(GIB // 2, dtype=torch.uint8, device="cuda")
    try:
        torch.empty(2 * GIB, dtype=torch.uint8, device="cuda")
    except torch.OutOfMemoryError as error:
        found = failed_allocation(error)
        answer.send((str(error), kept.numel(), found.model_dump()))
    answer.close()


@pytest.mark.gpu
def test_a_limit_on_the_device_is_told_from_torchs_own_message() -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_on_a_device_with_a_limit, args=(theirs,))
    process.start()
    theirs.close()
    message, kept, found = ours.recv()
    process.join()
    assert "allowed" in message
    assert (found["where"], found["asked"], found["total"]) == ("device", 2 * GIB, GIB)
    assert found["allocated"] == pytest.approx(kept, rel=0.01)
    assert found["reserved"] >= found["allocated"]
    assert found["free"] <= GIB // 2
