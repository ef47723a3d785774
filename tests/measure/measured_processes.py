"""What the tests of measurement share: processes that use memory, and the sampler as a process beside them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 2**20


def python(code: str, **options: Any) -> subprocess.Popen[str]:
    """A Python process that runs `code`, its output a pipe."""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **options)


def sampler(pid: int, path: Path, period_ms: float = 10, device: str = "cpu") -> subprocess.Popen[bytes]:
    """The sampler on `pid`, already sampling; it ends with `pid` or when its standard input is closed."""
    command = [sys.executable, "-m", "harness.measure.sampler", "--pid", str(pid), "--out", str(path)]
    process = subprocess.Popen(
        [*command, "--period-ms", str(period_ms), "--device", device], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    # It has everything imported when it begins its file.
    wait_until(lambda: any(file.stat().st_size for file in path.parent.glob(f".{path.name}.*")) or process.poll() is not None)
    return process


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until `holds()` is true; fails when it is not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
