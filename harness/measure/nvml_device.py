"""Which device NVML is asked about: the one that CUDA calls 0 in this environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from harness.measure.nvml_driver import Driver


@dataclass(frozen=True)
class Device:
    """NVML's handle of a device. mig: it is an instance of a GPU that is divided."""

    handle: Any
    mig: bool = False


def first_visible(variable: str | None) -> str:
    """How CUDA_VISIBLE_DEVICES names the device that CUDA calls 0; variable: its value, None where it is not set."""
    return "0" if variable is None else variable.split(",")[0].strip()


def visible_device(driver: Driver, variable: str | None) -> Device | None:
    """The first device that CUDA_VISIBLE_DEVICES leaves (ordinals, GPU-/MIG- UUIDs and their abbreviations); None when none is left.

    variable: its value, None where it is not set. Raises what pynvml raises.
    """
    first = first_visible(variable)
    if first.startswith("MIG-"):
        return Device(driver.call("nvmlDeviceGetHandleByUUID", first), mig=True)
    handle = _by_uuid(driver, first) if first.startswith("GPU-") else _by_ordinal(driver, first)
    if handle is None:
        return None
    instance = _first_mig_device(driver, handle)
    return Device(handle) if instance is None else Device(instance, mig=True)


def doubtful_number(driver: Driver, variable: str | None, order: str | None) -> str | None:
    """Why the device may be another one than CUDA's 0, or None: of cards of several kinds CUDA counts the fastest first, and NVML goes by
    their bus.

    variable, order: the values of CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, None where they are not set. Source: CUDA C++
    Programming Guide, environment variables.
    """
    if first_visible(variable).startswith(("GPU-", "MIG-")) or order == "PCI_BUS_ID":
        return None
    handles = [driver.call("nvmlDeviceGetHandleByIndex", index) for index in range(driver.call("nvmlDeviceGetCount"))]
    names = sorted({_text(driver.call("nvmlDeviceGetName", handle)) for handle in handles}) if len(handles) > 1 else []
    if len(names) < 2:
        return None
    return f"there are several kinds of GPU here ({', '.join(names)}), and CUDA may count them otherwise than NVML, whose readings are then another card's: set CUDA_DEVICE_ORDER=PCI_BUS_ID"


def _by_ordinal(driver: Driver, text: str) -> Any | None:
    ordinal = re.match(r"\+?(\d+)", text)
    if ordinal is None or int(ordinal[1]) >= driver.call("nvmlDeviceGetCount"):
        return None
    return driver.call("nvmlDeviceGetHandleByIndex", int(ordinal[1]))


def _by_uuid(driver: Driver, prefix: str) -> Any | None:
    """The device whose UUID begins with `prefix`: CUDA lets the variable abbreviate UUIDs."""
    for index in range(driver.call("nvmlDeviceGetCount")):
        handle = driver.call("nvmlDeviceGetHandleByIndex", index)
        uuid = driver.call("nvmlDeviceGetUUID", handle)
        if _text(uuid).startswith(prefix):
            return handle
    return None


def _first_mig_device(driver: Driver, handle: Any) -> Any | None:
    """The first MIG device of a GPU that is divided: CUDA then sees that one and not the GPU. None undivided."""
    import pynvml

    try:
        current, _ = driver.call("nvmlDeviceGetMigMode", handle)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return None
    if current != pynvml.NVML_DEVICE_MIG_ENABLE:
        return None
    for index in range(driver.call("nvmlDeviceGetMaxMigDeviceCount", handle)):
        try:
            return driver.call("nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
        except pynvml.NVMLError_NotFound:
            continue
    return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
