"""Memory on a real card: torch's two accounts and NVML's two of one known allocation, and what is told of one that failed."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from harness.measure.failed_allocation import failed_allocation
from harness.measure.meter import PhaseMeter
from harness.measure.nvml import Nvml, open_nvml
from harness.measure.phases import PhaseReading
from harness.records.measured import PhaseMemory

pytestmark = pytest.mark.gpu
MIB = 2**20


@pytest.fixture
def nvml() -> Iterator[Nvml]:
    """NVML's readings of the card, this process having a CUDA context and nothing cached.

    What tests before have left stays: cuBLAS's workspace, which lives in torch's allocator from the first product on (32 MiB on Hopper).
    """
    import torch

    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    gc.collect()
    torch.cuda.empty_cache()
    opened = open_nvml()
    assert opened is not None
    with opened:
        yield opened


def test_an_allocation_of_256_mib_is_in_all_four_accounts(nvml: Nvml) -> None:
    import torch

    allocated, reserved, device = torch.cuda.memory_allocated(), torch.cuda.memory_reserved(), nvml.device_memory()
    block = torch.empty(256 * MIB, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() - allocated == 256 * MIB
    assert torch.cuda.memory_reserved() - reserved >= 256 * MIB
    assert device is not None
    assert (nvml.device_memory() or 0) - device > 250 * MIB, "others on the card may have given something back meanwhile"
    process = nvml.process_memory([os.getpid()])
    if process is None:
        pytest.skip("the driver hides this process: the fallback to the device's delta is what cells use here")
    accounts = PhaseMemory(nvml_process=process, torch_reserved=torch.cuda.memory_reserved(), torch_allocated=torch.cuda.memory_allocated())
    assert accounts.outside_torch is not None
    assert 50 * MIB < accounts.outside_torch < 4096 * MIB, "a CUDA context is some hundreds of MiB"
    assert accounts.fragmentation == torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    del block


def test_every_phase_has_its_own_peak_and_gives_the_cache_back(nvml: Nvml) -> None:
    import torch

    readings: list[PhaseReading] = []
    meter = PhaseMeter("cuda", lambda phase, at: None, readings.append)
    sizes = {"load": 64, "train": 512, "evaluate": 128}
    kept, kept_reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    for phase, mib in sizes.items():
        with meter.phase(phase):  # type: ignore[arg-type]
            block = torch.empty(mib * MIB, dtype=torch.uint8, device="cuda")
            del block
    for reading, mib in zip(readings, sizes.values(), strict=True):
        assert mib * MIB <= (reading.torch_allocated or 0) - kept < (mib + 8) * MIB, reading.phase
        assert (reading.torch_reserved or 0) - kept_reserved < (mib + 32) * MIB, f"{reading.phase} has the cache of the phase before"


def test_an_allocation_that_no_card_holds_tells_what_was_asked_and_what_there_was(nvml: Nvml) -> None:
    import torch

    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(2**42, dtype=torch.uint8, device="cuda")
    told = failed_allocation(raised.value)
    total = nvml.device_memory_total() or 0
    assert told.where == "device"
    assert told.asked == 2**42
    assert 0 < (told.free or 0) <= (told.total or 0)
    assert (told.total or 0) == pytest.approx(total, rel=0.05), "NVML counts what the driver keeps for itself, too"
    assert (told.allocated or 0) <= (told.reserved or 0)


def test_the_energy_counter_and_the_powers_integral_only_grow(nvml: Nvml) -> None:
    import torch

    if nvml.energy() is None:
        pytest.skip("this card has no energy counter")
    readings = [nvml.energy()]
    left = torch.randn(2048, 2048, device="cuda")
    for _ in range(4):
        for _ in range(50):
            left @ left
        torch.cuda.synchronize()
        readings.append(nvml.energy())
    told = [reading for reading in readings if reading is not None]
    assert len(told) == len(readings)
    assert told == sorted(told)
