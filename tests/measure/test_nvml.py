"""NVML: absent here as a rule, and then every reading is null with a reason; present where tests are marked gpu."""

from __future__ import annotations

import os

import pytest
from measured_processes import MIB

from harness.errors import RequestError
from harness.measure.environment import cuda_unusable, environment, machine
from harness.measure.nvml import open_nvml


@pytest.fixture
def no_driver() -> str:
    """The reason why NVML does not open; the test is skipped where it does."""
    notes: list[str] = []
    nvml = open_nvml(notes)
    if nvml is not None:
        nvml.close()
        pytest.skip("there is an NVIDIA driver here")
    return notes[0]


def test_without_a_driver_there_is_nothing_and_a_note_says_why(no_driver: str) -> None:
    assert no_driver.startswith("no NVIDIA driver (")
    assert no_driver.endswith("NVML readings are null")


def test_without_a_driver_auto_is_the_cpu_and_cuda_is_a_wrong_request(no_driver: str) -> None:
    assert machine("auto").device == "cpu"
    with pytest.raises(RequestError, match=r"--device cuda: no NVIDIA driver .*--device cpu"):
        machine("cuda")


@pytest.mark.gpu
def test_a_real_device_gives_its_readings() -> None:
    import torch

    block = torch.empty(200 * MIB, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    nvml = open_nvml()
    assert nvml is not None
    with nvml:
        assert nvml.name() == torch.cuda.get_device_name(0)
        assert nvml.compute_capability() == torch.cuda.get_device_capability(0)
        assert (nvml.device_memory() or 0) > 200 * MIB
        assert (nvml.device_memory_total() or 0) > (nvml.device_memory() or 0)
        held = nvml.process_memory([os.getpid()])
        assert held is None or held > 200 * MIB, "None where the driver hides a container's processes"
        assert nvml.process_memory([]) is None
        for reading in (nvml.power(), nvml.energy(), nvml.temperature(), *nvml.utilisation(), *nvml.clocks(), nvml.throttle_reasons()):
            assert reading is None or reading >= 0
    del block


@pytest.mark.gpu
@pytest.mark.parametrize("variable", ["", "-1", "GPU-00000000-none", "99"])
def test_a_device_that_is_not_visible_is_none_with_a_reason(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    notes: list[str] = []
    assert open_nvml(notes) is None
    assert notes == [f"CUDA_VISIBLE_DEVICES={variable} shows no NVIDIA device: NVML readings are null"]
    assert machine("auto").device == "cpu"


@pytest.mark.gpu
def test_a_device_is_found_by_an_abbreviated_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml
    import torch

    uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", uuid[:12])
    nvml = open_nvml()
    assert nvml is not None
    with nvml:
        found = pynvml.nvmlDeviceGetUUID(nvml.device.handle)
    assert found == uuid


@pytest.mark.gpu
def test_the_environment_names_the_gpu() -> None:
    found = environment("cuda")
    assert found.gpu
    assert found.driver
    assert found.cuda
    assert cuda_unusable() is None
