"""What an installation can do, asked from outside: the device's readings, native libraries, disks, the hub."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from harness.measure.nvml import Nvml

HUB_SECONDS = 3.0
IMPORT_SECONDS = 120
BITSANDBYTES = "import bitsandbytes.cextension as c; print(type(c.lib).__name__)"


def unread_by_nvml(nvml: Nvml) -> list[str]:
    """Takes every reading once; the notes on those that the driver refuses."""
    nvml.process_memory([os.getpid()])
    for read in (nvml.device_memory, nvml.utilisation, nvml.power, nvml.energy, nvml.temperature, nvml.clocks, nvml.throttle_reasons):
        read()
    return nvml.missing()


def bitsandbytes_library() -> str:
    """Whether bitsandbytes has loaded its native library, and for which device; asked in a process of its own,
    because importing it imports torch."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", BITSANDBYTES], capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"importing bitsandbytes takes more than {IMPORT_SECONDS} s"
    if done.returncode != 0:
        return f"cannot be imported: {_last_line(done.stderr)}"
    library = _last_line(done.stdout)
    if library == "ErrorHandlerMockBNBNativeLibrary":
        return f"not loaded: {_last_line(done.stderr) or 'there is none for this torch and this machine'}"
    return "loaded, for CUDA" if library.startswith("Cuda") else "loaded, for the CPU"


def extras() -> dict[str, dict[str, str | None]] | None:
    """Extra of ours -> package -> installed version, None for a package that is missing; None where harness itself is not installed.

    An extra that is made of others counts theirs.
    """
    try:
        wanted = requires("harness") or []
    except PackageNotFoundError:
        return None
    found: dict[str, dict[str, str | None]] = defaultdict(dict)
    for line in wanted:
        parsed = re.match(r"([A-Za-z0-9._-]+).*;.*extra == ['\"]([^'\"]+)['\"]", line)
        if parsed is not None:
            found[parsed[2]][parsed[1]] = _installed_version(parsed[1])
    return dict(sorted(found.items()))


def without_credentials(url: str) -> str:
    """The address without the user and password that may stand before its host."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def free_bytes(folder: Path) -> tuple[int | None, bool]:
    """Free bytes on the disk where `folder` is or would be made (None: it does not say), and whether it can be
    written to."""
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    try:
        return shutil.disk_usage(existing).free, writable
    except OSError:
        return None, writable


def unreachable(url: str) -> str | None:
    """Why the URL does not answer, None when it does, within some seconds; any HTTP answer is one."""
    reasons: list[str] = ["no answer"]

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=HUB_SECONDS).close()
        except urllib.error.HTTPError as answer:
            answer.close()
        except (OSError, ValueError) as error:
            reasons.append(str(getattr(error, "reason", error)))
            return
        reasons.append("")

    # A thread, because looking up a name knows no timeout.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(2 * HUB_SECONDS)
    return reasons[-1] or None


def _installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1].strip() if text.strip() else ""
