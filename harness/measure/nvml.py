"""NVML: what the NVIDIA driver tells of one device, from outside the measured process and without touching CUDA.

Every reading is None where the driver does not give it, and `missing()` then says which, why and since when.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from harness.measure.device_processes import Holder, divide
from harness.measure.nvml_device import Device, doubtful_number, visible_device
from harness.measure.nvml_driver import Driver, open_driver, refusals
from harness.measure.nvml_tally import Tally, untold

ALL_NULL = "NVML readings are null"
PERMANENT = ("NotSupported", "NoPermission", "FunctionNotFound", "Mismatch")
FATAL = ("GpuIsLost", "ResetRequired", "Uninitialized", "DriverNotLoaded")
EVENT_REASONS, THROTTLE_REASONS = "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"


def open_nvml(notes: list[str] | None = None, driver: Driver | None = None) -> Nvml | None:
    """The NVML readings of the device that CUDA calls 0 in this environment, or None where there is no driver,
    no permission or no visible device; the reason is appended to `notes`. Close it after use.

    Respects CUDA_VISIBLE_DEVICES (ordinals, GPU-/MIG- UUIDs and their abbreviations). driver: who is asked; None: as
    `open_driver` says.
    """
    reasons = notes if notes is not None else []
    driver = driver or open_driver()
    if driver.note is not None:
        reasons.append(driver.note)
    try:
        driver.call("nvmlInit")
    except refusals() as error:
        reasons.append(f"no NVIDIA driver ({error}): {ALL_NULL}")
        return None
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        device = visible_device(driver, variable)
        told = "no NVIDIA device" if variable is None else f"CUDA_VISIBLE_DEVICES={variable} shows no NVIDIA device"
    except refusals() as error:
        device, told = None, f"NVML gives no access to the device in use ({error})"
    if device is None:
        reasons.append(f"{told}: {ALL_NULL}")
        driver.call("nvmlShutdown")
        return None
    with suppress(*refusals()):  # a driver that does not name its cards leaves the doubt unsaid, and no reading out
        doubt = doubtful_number(driver, variable, os.environ.get("CUDA_DEVICE_ORDER"))
        reasons.extend([doubt] if doubt is not None else [])
    return Nvml(driver, device)


class Nvml:
    """The readings of one device. Memory in bytes, power in watt, energy in joule, temperature in degree Celsius, clocks in MHz."""

    def __init__(self, driver: Driver, device: Device) -> None:
        self.device = device
        self._driver = driver
        self._refusals = refusals()
        self._opened = time.monotonic()
        self._tallies: dict[str, Tally] = {}
        self._dead: str | None = None
        self._reasons = EVENT_REASONS

    def __enter__(self) -> Nvml:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the library back; no reading may be taken afterwards."""
        with suppress(*self._refusals):  # a driver that died wants nothing back
            self._driver.call("nvmlShutdown")

    def missing(self) -> list[str]:
        """Notes on every reading that the driver refused at least once: never given, given at first, or not always."""
        return untold(self._tallies, self._dead)

    def holders(self) -> list[Holder] | None:
        """Who holds memory on the device, each context once; None where the driver gives neither of its two lists.

        A process with a compute and a graphics context is on both lists with the same total.
        """
        held: dict[tuple[int, int, int], int | None] = {}
        lists = [self._read(f"list of {kind.lower()} processes", f"nvmlDeviceGet{kind}RunningProcesses", self.device.handle) for kind in ("Compute", "Graphics")]
        if all(found is None for found in lists):
            return None
        for process in (process for found in lists for process in found or ()):
            key = process.pid, getattr(process, "gpuInstanceId", 0), getattr(process, "computeInstanceId", 0)
            held[key] = process.usedGpuMemory if process.usedGpuMemory is not None else held.get(key)
        return [Holder(pid, used) for (pid, _, _), used in held.items()]

    def process_memory(self, pids: Iterable[int]) -> int | None:
        """Bytes that these processes hold on the device; None when none of them is on the driver's lists
        (no CUDA context yet, or a container's process ids that the driver does not know)."""
        return divide(self.holders() or [], set(pids)).own

    def device_memory(self) -> int | None:
        """Bytes in use on the whole device, by every process and the driver."""
        memory = self._read("device memory", "nvmlDeviceGetMemoryInfo", self.device.handle)
        return None if memory is None else int(memory.used)

    def device_memory_total(self) -> int | None:
        """Bytes that the device has."""
        memory = self._read("device memory", "nvmlDeviceGetMemoryInfo", self.device.handle)
        return None if memory is None else int(memory.total)

    def device_memory_reserved(self) -> int | None:
        """Bytes of those in use that the driver keeps for itself."""
        memory = self._read("reserved memory", "nvmlDeviceGetMemoryInfo", self.device.handle, 0x02000028)  # nvmlMemory_v2
        return None if memory is None else int(memory.reserved)

    def utilisation(self) -> tuple[int, int] | tuple[None, None]:
        """Percent of the driver's last sampling interval in which a kernel ran, and in which memory was accessed."""
        rates = self._read("utilisation", "nvmlDeviceGetUtilizationRates", self.device.handle)
        return (None, None) if rates is None else (int(rates.gpu), int(rates.memory))

    def power(self) -> float | None:
        """Watt; the driver averages over a window (one second on Ampere and newer)."""
        milliwatt = self._read("power", "nvmlDeviceGetPowerUsage", self.device.handle)
        return None if milliwatt is None else milliwatt / 1000

    def energy(self) -> float | None:
        """Joule since the driver was loaded (Volta and newer)."""
        millijoule = self._read("energy counter", "nvmlDeviceGetTotalEnergyConsumption", self.device.handle)
        return None if millijoule is None else millijoule / 1000

    def temperature(self) -> int | None:
        """Degree Celsius of the GPU's own sensor."""
        degrees = self._read("temperature", "nvmlDeviceGetTemperature", self.device.handle, 0)  # NVML_TEMPERATURE_GPU
        return None if degrees is None else int(degrees)

    def clocks(self) -> tuple[int | None, int | None]:
        """MHz at which the multiprocessors and the memory run now."""
        multiprocessors = self._read("clocks", "nvmlDeviceGetClockInfo", self.device.handle, 1)  # NVML_CLOCK_SM
        memory = self._read("memory clock", "nvmlDeviceGetClockInfo", self.device.handle, 2)  # NVML_CLOCK_MEM
        return multiprocessors, memory

    def throttle_reasons(self) -> int | None:
        """Why the clocks are not at their highest now: NVML's bit mask (nvmlClocksEventReason..., before driver 535 ...ThrottleReason...)."""
        reasons = self._read("throttle reasons", self._reasons, self.device.handle)
        if reasons is None and self._reasons == EVENT_REASONS and self._tallies["throttle reasons"].given_up == "FunctionNotFound":
            self._reasons = THROTTLE_REASONS
            del self._tallies["throttle reasons"]
            return self.throttle_reasons()
        return reasons

    def name(self) -> str | None:
        """The device's name, as `NVIDIA H200`."""
        return _text(self._read("device name", "nvmlDeviceGetName", self.device.handle))

    def driver(self) -> str | None:
        """The driver's version, as `570.86.15`."""
        return _text(self._read("driver version", "nvmlSystemGetDriverVersion"))

    def cuda_driver(self) -> str | None:
        """The newest CUDA version that the driver runs, as `12.8`."""
        version = self._read("CUDA driver version", "nvmlSystemGetCudaDriverVersion_v2")
        return None if version is None else f"{version // 1000}.{version % 1000 // 10}"

    def compute_capability(self) -> tuple[int, int] | None:
        """(major, minor), as (9, 0)."""
        pair = self._read("compute capability", "nvmlDeviceGetCudaComputeCapability", self.device.handle)
        return None if pair is None else (int(pair[0]), int(pair[1]))

    def _read(self, what: str, function: str, *arguments: Any) -> Any:
        """The driver's answer; None where it refuses, which is remembered. Asked no more where that cannot change."""
        tally = self._tallies.setdefault(what, Tally())
        if self._dead is not None or tally.given_up is not None:
            return None
        try:
            answer = self._driver.call(function, *arguments)
        except self._refusals as error:
            kind = type(error).__name__
            tally.refuse(str(error), time.monotonic() - self._opened)
            if any(reason in kind for reason in FATAL):
                self._dead = str(error)
            tally.given_up = next((reason for reason in PERMANENT if reason in kind), None)
            return None
        tally.take()
        return answer


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
