"""What we make of NVML's answers, where there is no device to give them: the driver's functions are stood in for,
pynvml's constants, structures and errors are its own. tests/measure/test_nvml.py asks a real device."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pynvml
import pytest

from harness.measure.nvml import open_nvml
from harness.measure.phases import PhaseReading
from harness.measure.sampler import sample
from harness.measure.summary import summarise
from harness.measure.telemetry import read_telemetry

UUIDS = ["GPU-aaaa1111-0", "GPU-aaaa2222-1"]
SELF = os.getpid()
GB = 10**9


def process(pid: int, used: int | None, instance: int = 0) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=used, gpuInstanceId=instance, computeInstanceId=0)


class Driver:
    """A driver with two devices; a device's handle is its number. Tests change the answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.compute: list[SimpleNamespace] = []
        self.graphics: list[SimpleNamespace] = []
        self.used = 5 * GB
        self.refuses: dict[str, int] = {"nvmlDeviceGetMigMode": pynvml.NVML_ERROR_NOT_SUPPORTED}
        self.answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: len(UUIDS),
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
            "nvmlDeviceGetUUID": lambda handle: UUIDS[handle],
            "nvmlDeviceGetMigMode": lambda handle: [1, 1],
            "nvmlDeviceGetMaxMigDeviceCount": lambda handle: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self._mig,
            "nvmlDeviceGetComputeRunningProcesses": lambda handle: self.compute,
            "nvmlDeviceGetGraphicsRunningProcesses": lambda handle: self.graphics,
            "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=self.used, total=80 * GB),
            "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=90, memory=40),
            "nvmlDeviceGetPowerUsage": lambda handle: 350_500,
            "nvmlDeviceGetTotalEnergyConsumption": lambda handle: int(time.monotonic() * 350_500),
            "nvmlDeviceGetTemperature": lambda handle, sensor: 61,
            "nvmlSystemGetCudaDriverVersion_v2": lambda: 12080,
        }

    def _mig(self, handle: int, index: int) -> str:
        if index != 2:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return f"mig {index} of {handle}"

    def function(self, name: str) -> Callable[..., Any]:
        def answer(*arguments: Any) -> Any:
            self.asked.append(name)
            if name in self.refuses:
                raise pynvml.NVMLError(self.refuses[name])
            return self.answers[name](*arguments)

        return answer


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    standing_in = Driver()
    for name in standing_in.answers:
        monkeypatch.setattr(pynvml, name, standing_in.function(name))
    return standing_in


@pytest.mark.parametrize(
    ("variable", "handle"),
    [
        (None, 0),
        ("1", 1),
        (" 1,0", 1),
        ("GPU-aaaa2222-1", 1),
        ("GPU-aaaa2,GPU-aaaa1", 1),
        ("MIG-1234", "MIG-1234"),
    ],
)
def test_the_device_is_the_first_one_that_cuda_sees(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, variable: str | None, handle: Any
) -> None:
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    nvml = open_nvml()
    assert nvml is not None
    assert nvml._handle == handle


@pytest.mark.parametrize("variable", ["", "-1", "2", "NoDevFiles", "GPU-bbbb"])
def test_no_visible_device_is_none_with_the_reason_and_the_library_given_back(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    notes: list[str] = []
    assert open_nvml(notes) is None
    assert notes == [f"CUDA_VISIBLE_DEVICES={variable} shows no NVIDIA device: NVML readings are null"]
    assert driver.asked.count("nvmlShutdown") == 1


def test_no_permission_is_a_reason(driver: Driver) -> None:
    driver.refuses["nvmlDeviceGetHandleByIndex"] = pynvml.NVML_ERROR_NO_PERMISSION
    notes: list[str] = []
    assert open_nvml(notes) is None
    assert "Insufficient Permissions" in notes[0]


def test_of_a_divided_gpu_the_first_mig_device_is_read(driver: Driver) -> None:
    del driver.refuses["nvmlDeviceGetMigMode"]
    nvml = open_nvml()
    assert nvml is not None
    assert nvml._handle == "mig 2 of 0"


@pytest.mark.parametrize(
    ("compute", "graphics", "expected"),
    [
        ([process(SELF, 3 * GB), process(99999, 7 * GB)], [], 3 * GB),
        ([process(SELF, 3 * GB)], [process(SELF, 3 * GB)], 3 * GB),
        ([process(SELF, 3 * GB), process(1, GB)], [process(1, GB)], 4 * GB),
        ([process(SELF, 3 * GB, 1), process(SELF, GB, 2)], [], 4 * GB),
        ([process(99999, 7 * GB)], [], None),
        ([process(SELF, None)], [], None),
        ([], [], None),
    ],
)
def test_memory_of_processes_is_counted_once(driver: Driver, compute: Any, graphics: Any, expected: int | None) -> None:
    driver.compute, driver.graphics = compute, graphics
    nvml = open_nvml()
    assert nvml is not None
    assert nvml.process_memory([SELF, 1]) == expected


def test_units_are_bytes_watt_joule(driver: Driver) -> None:
    nvml = open_nvml()
    assert nvml is not None
    assert nvml.device_memory() == 5 * GB
    assert nvml.power() == 350.5
    assert nvml.energy() == pytest.approx(time.monotonic() * 350.5, rel=1e-3)
    assert nvml.utilisation() == (90, 40)
    assert nvml.cuda_driver() == "12.8"


def test_what_is_not_supported_is_none_asked_for_once_and_told_once(driver: Driver) -> None:
    driver.refuses["nvmlDeviceGetPowerUsage"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    driver.refuses["nvmlDeviceGetUtilizationRates"] = pynvml.NVML_ERROR_NO_PERMISSION
    nvml = open_nvml()
    assert nvml is not None
    for _ in range(3):
        assert nvml.power() is None
        assert nvml.utilisation() == (None, None)
    assert driver.asked.count("nvmlDeviceGetPowerUsage") == 1
    assert nvml.missing() == [
        "NVML gives no power here (Not Supported)",
        "NVML gives no utilisation here (Insufficient Permissions)",
    ]


def test_a_passing_failure_is_asked_again(driver: Driver) -> None:
    driver.refuses["nvmlDeviceGetPowerUsage"] = pynvml.NVML_ERROR_TIMEOUT
    nvml = open_nvml()
    assert nvml is not None
    assert nvml.power() is None
    del driver.refuses["nvmlDeviceGetPowerUsage"]
    assert nvml.power() == 350.5


def sampled(path: Path, seconds: float) -> list[PhaseReading]:
    """Samples this process on `cuda` for some seconds; forked, so that the sampler has the stand-in too."""
    processes = multiprocessing.get_context("fork")
    told_to_stop, stop = processes.Pipe(duplex=False)
    is_ready, ready = processes.Pipe(duplex=False)
    sampler = processes.Process(target=_sample, args=(SELF, path, told_to_stop, stop, ready))
    sampler.start()
    assert is_ready.poll(60)
    started = time.monotonic()
    time.sleep(seconds)
    reading = PhaseReading("train", started, time.monotonic(), torch_reserved=GB, host_rss=1)
    stop.close()
    sampler.join(60)
    assert sampler.exitcode == 0
    return [reading]


def _sample(pid: int, path: Path, told_to_stop: Any, stop: Any, ready: Any) -> None:
    stop.close()
    sample(pid, path, 10, told_to_stop, "cuda", ready)


def test_a_sampled_cell_has_memory_over_its_baseline_and_energy(driver: Driver, tmp_path: Path) -> None:
    driver.compute = [process(SELF, 3 * GB), process(99999, 2 * GB)]
    path = tmp_path / "telemetry.parquet"
    readings = sampled(path, 0.5)
    memory, timing, energy, notes = summarise(readings, path, "cuda")
    assert read_telemetry(path).facts.baseline_device_bytes == 2 * GB, "what the cell itself holds is no baseline"
    train = memory.phases["train"]
    assert (train.nvml_process, train.nvml_device) == (3 * GB, 3 * GB)
    assert memory.peak_vram_source == "nvml_process"
    assert energy.source == "nvml_counter"
    assert energy.phases["train"] == pytest.approx(timing.phases["train"] * 350.5, rel=0.05)
    assert notes == []
    rows = read_telemetry(path).columns
    assert (rows["utilisation_sm"][0], rows["utilisation_memory"][0], rows["temperature_c"][0]) == (90, 40, 61)


def test_a_driver_that_gives_little_leaves_nulls_and_notes(driver: Driver, tmp_path: Path) -> None:
    driver.refuses["nvmlDeviceGetTotalEnergyConsumption"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    driver.refuses["nvmlDeviceGetTemperature"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    path = tmp_path / "telemetry.parquet"
    readings = sampled(path, 0.5)
    memory, timing, energy, notes = summarise(readings, path, "cuda")
    assert memory.phases["train"].nvml_process is None
    assert memory.peak_vram_source == "nvml_device_delta"
    assert energy.source == "nvml_power"
    assert energy.phases["train"] == pytest.approx(timing.phases["train"] * 350.5, rel=0.05)
    assert "NVML gives no energy counter here (Not Supported)" in notes
    assert any("does not list the cell's process" in note for note in notes)
    assert numpy.isnan(read_telemetry(path).columns["temperature_c"]).all()
