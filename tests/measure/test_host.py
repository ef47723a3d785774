"""The host's peak is what a phase takes, and not what the one before it took."""

from __future__ import annotations

import os
import sys

import pytest

from harness.measure.host import HostPeak, resident_bytes

MIB = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="the C library's trimming and the kernel's high-water mark are Linux'")
def test_freed_memory_that_the_c_library_keeps_is_not_in_the_next_peak() -> None:
    kept, blocks = [], []
    for _ in range(2000):  # a small block that stays behind every large one keeps the heap from shrinking by itself
        blocks.append(bytearray(64 * 1024))
        kept.append(bytearray(1024))
    full = resident_bytes(os.getpid())
    blocks.clear()
    peak = HostPeak()
    peak.start()
    after = peak.read()
    assert full is not None
    assert after is not None
    assert after < full - 80 * MIB
    assert len(kept) == 2000
