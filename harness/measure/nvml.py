"""NVML: what the NVIDIA driver tells of one device, from outside the measured process and without touching CUDA.

Every reading is None where the driver does not give it, and `missing()` then says which and why.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

ALL_NULL = "NVML readings are null"
PERMANENT = ("NotSupported", "NoPermission", "FunctionNotFound")


def open_nvml(notes: list[str] | None = None) -> Nvml | None:
    """The NVML readings of the device that CUDA calls 0 in this environment, or None where there is no driver,
    no permission or no visible device; the reason is appended to `notes`. Close it after use.

    Respects CUDA_VISIBLE_DEVICES (ordinals, GPU-/MIG- UUIDs and their abbreviations).
    """
    import pynvml

    reasons = notes if notes is not None else []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        reasons.append(f"no NVIDIA driver ({error}): {ALL_NULL}")
        return None
    try:
        handle = _visible_device(os.environ.get("CUDA_VISIBLE_DEVICES"), reasons)
    except pynvml.NVMLError as error:
        reasons.append(f"NVML gives no access to the device in use ({error}): {ALL_NULL}")
        handle = None
    if handle is None:
        pynvml.nvmlShutdown()
        return None
    return Nvml(handle)


class Nvml:
    """The readings of one device. Memory in bytes, power in watt, energy in joule, temperature in degree Celsius."""

    def __init__(self, handle: Any) -> None:
        import pynvml

        self._nvml = pynvml
        self._handle = handle
        self._missing: dict[str, str] = {}
        self._given_up: set[str] = set()

    def __enter__(self) -> Nvml:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the library back; no reading may be taken afterwards."""
        self._nvml.nvmlShutdown()

    def missing(self) -> list[str]:
        """One note per reading that the driver refused at least once."""
        return [f"NVML gives no {what} here ({why})" for what, why in self._missing.items()]

    def process_memory(self, pids: Iterable[int]) -> int | None:
        """Bytes that these processes hold on the device; None when none of them is on the driver's lists
        (no CUDA context yet, or a container's process ids that the driver does not know)."""
        nvml = self._nvml
        wanted = set(pids)
        held: dict[tuple[int, int, int], int | None] = {}
        for what, function in (
            ("list of compute processes", nvml.nvmlDeviceGetComputeRunningProcesses),
            ("list of graphics processes", nvml.nvmlDeviceGetGraphicsRunningProcesses),
        ):
            for process in self._read(what, function, self._handle) or ():
                if process.pid in wanted:
                    # A process with both kinds of context is on both lists with the same total.
                    held[_context_key(process)] = process.usedGpuMemory
        if not held or None in held.values():
            return None
        return sum(used for used in held.values() if used is not None)

    def device_memory(self) -> int | None:
        """Bytes in use on the whole device, by every process and the driver."""
        memory = self._read("device memory", self._nvml.nvmlDeviceGetMemoryInfo, self._handle)
        return None if memory is None else int(memory.used)

    def device_memory_total(self) -> int | None:
        """Bytes that the device has."""
        memory = self._read("device memory", self._nvml.nvmlDeviceGetMemoryInfo, self._handle)
        return None if memory is None else int(memory.total)

    def utilisation(self) -> tuple[int, int] | tuple[None, None]:
        """Percent of the driver's last sampling interval in which a kernel ran, and in which memory was accessed."""
        rates = self._read("utilisation", self._nvml.nvmlDeviceGetUtilizationRates, self._handle)
        return (None, None) if rates is None else (int(rates.gpu), int(rates.memory))

    def power(self) -> float | None:
        """Watt; the driver averages over a window (one second on Ampere and newer)."""
        milliwatt = self._read("power", self._nvml.nvmlDeviceGetPowerUsage, self._handle)
        return None if milliwatt is None else milliwatt / 1000

    def energy(self) -> float | None:
        """Joule since the driver was loaded (Volta and newer)."""
        millijoule = self._read("energy counter", self._nvml.nvmlDeviceGetTotalEnergyConsumption, self._handle)
        return None if millijoule is None else millijoule / 1000

    def temperature(self) -> int | None:
        """Degree Celsius of the GPU's own sensor."""
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        degrees = self._read("temperature", self._nvml.nvmlDeviceGetTemperature, self._handle, sensor)
        return None if degrees is None else int(degrees)

    def name(self) -> str | None:
        """The device's name, as `NVIDIA H200`."""
        return _text(self._read("device name", self._nvml.nvmlDeviceGetName, self._handle))

    def driver(self) -> str | None:
        """The driver's version, as `570.86.15`."""
        return _text(self._read("driver version", self._nvml.nvmlSystemGetDriverVersion))

    def cuda_driver(self) -> str | None:
        """The newest CUDA version that the driver runs, as `12.8`."""
        version = self._read("CUDA driver version", self._nvml.nvmlSystemGetCudaDriverVersion_v2)
        return None if version is None else f"{version // 1000}.{version % 1000 // 10}"

    def compute_capability(self) -> tuple[int, int] | None:
        """(major, minor), as (9, 0)."""
        pair = self._read("compute capability", self._nvml.nvmlDeviceGetCudaComputeCapability, self._handle)
        return None if pair is None else (int(pair[0]), int(pair[1]))

    def _read(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        if what in self._given_up:
            return None
        nvml = self._nvml
        try:
            return function(*arguments)
        except (nvml.NVMLError, nvml.NVMLLibraryMismatchError) as error:
            self._missing[what] = str(error)
            if any(reason in type(error).__name__ for reason in (*PERMANENT, "Mismatch")):
                self._given_up.add(what)
            return None


def _visible_device(variable: str | None, reasons: list[str]) -> Any | None:
    """NVML's handle of the first device that CUDA_VISIBLE_DEVICES leaves; None, with a reason, when none is left."""
    import pynvml

    first = "0" if variable is None else variable.split(",")[0].strip()
    if first.startswith("GPU-"):
        handle = _by_uuid(first)
    elif first.startswith("MIG-"):
        return pynvml.nvmlDeviceGetHandleByUUID(first)
    else:
        ordinal = re.match(r"\+?(\d+)", first)
        inside = ordinal is not None and int(ordinal[1]) < pynvml.nvmlDeviceGetCount()
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(ordinal[1])) if ordinal and inside else None
    if handle is None:
        told = "no NVIDIA device" if variable is None else f"CUDA_VISIBLE_DEVICES={variable} shows no NVIDIA device"
        reasons.append(f"{told}: {ALL_NULL}")
        return None
    return _first_mig_device(handle) or handle


def _by_uuid(prefix: str) -> Any | None:
    """The device whose UUID begins with `prefix`: CUDA lets the variable abbreviate UUIDs."""
    import pynvml

    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        if (_text(pynvml.nvmlDeviceGetUUID(handle)) or "").startswith(prefix):
            return handle
    return None


def _first_mig_device(handle: Any) -> Any | None:
    """The first MIG device of a GPU that is divided: CUDA then sees that one and not the GPU. None undivided."""
    import pynvml

    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return None
    if current != pynvml.NVML_DEVICE_MIG_ENABLE:
        return None
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            return pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except pynvml.NVMLError_NotFound:
            continue
    return None


def _context_key(process: Any) -> tuple[int, int, int]:
    return process.pid, getattr(process, "gpuInstanceId", 0), getattr(process, "computeInstanceId", 0)


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
