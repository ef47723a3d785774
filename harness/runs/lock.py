"""One run at a time in one directory."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import RunInUse, StorageError
from harness.records.store import write_atomically

LOCK = ".lock"
HOLDER = ".holder.json"

Waiting = Callable[[str], bool]  # told who holds the directory, again and again; returns, after a while, whether to wait on


def no_waiting(holder: str) -> bool:
    """Whoever holds the directory, it is refused."""
    return False


@contextmanager
def locked(run: Path, waiting: Waiting = no_waiting) -> Iterator[None]:
    """While this holds, no other process can lock `run`, an existing directory; a process that died holds nothing.

    Raises RunInUse that names who holds it, where `waiting` does not wait, and StorageError where the directory cannot be written.
    """
    lock = FileLock(run / LOCK, blocking=False)
    while not _acquired(lock, run):
        holder = _holder(run)
        if not waiting(holder):
            raise RunInUse(f"{run} is in use by {holder}; wait for it, or give another directory with --out")
    try:
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        write_atomically(run / HOLDER, json.dumps(facts) + "\n")
        yield
    finally:
        (run / HOLDER).unlink(missing_ok=True)
        lock.release()


def _acquired(lock: FileLock, run: Path) -> bool:
    try:
        lock.acquire()
    except Timeout:
        return False
    except OSError as error:
        raise StorageError(f"cannot write {run / LOCK}: {error.strerror or error}") from error
    return True


def _holder(run: Path) -> str:
    try:
        facts = json.loads((run / HOLDER).read_text(encoding="utf-8"))
        return f"process {facts['pid']} on {facts['host']} since {facts['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"  # it has not said yet who it is
