"""The host's peak is what a phase takes, and not what the one before it took."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from harness.measure.host import HostPeak, descendants, resident_bytes

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


def test_descendants_are_children_of_every_thread_and_theirs() -> None:
    script = "import subprocess, sys, threading; start = lambda: subprocess.Popen(['sleep', '600']); t = threading.Thread(target=start); t.start(); t.join(); print('up', flush=True); sys.stdin.read()"
    shell = subprocess.Popen(["sh", "-c", f'"{sys.executable}" -c "{script}"; true'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert shell.stdin is not None
    assert shell.stdout is not None
    try:
        assert shell.stdout.readline() == b"up\n"
        found = descendants(shell.pid)
        assert [psutil.Process(pid).name() for pid in found][-1] == "sleep"
        assert sorted(found) == sorted(child.pid for child in psutil.Process(shell.pid).children(recursive=True))
        assert len(found) == 2
    finally:
        for child in descendants(shell.pid):
            os.kill(child, signal.SIGKILL)
        shell.communicate()


def test_a_process_that_is_gone_has_no_descendants() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert descendants(gone.pid) == []
