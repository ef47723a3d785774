"""Who may touch an entry of the cache: one process writes or removes it, any number use it; the dead hold nothing."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from harness.errors import StorageError
from harness.records.store import write_atomically

LOCKS = ".locks"
POLL_SECONDS = 0.5

Waiting = Callable[[float, str], None]  # called with the seconds waited so far, and who is waited for


class Busy(Exception):
    """Another process writes the entry."""


@contextmanager
def writing(cache: Path, key: str, waiting: Waiting | None = None) -> Iterator[None]:
    """While this holds, no other process writes or removes the entry `key`. Waits for one that does, calling `waiting` again and again;
    without it, raises Busy. Raises StorageError where the lock cannot be written."""
    folder = cache / LOCKS
    lock = FileLock(folder / f"{key}.lock")
    begun = time.monotonic()
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
            break
        except Timeout:
            if waiting is None:
                raise Busy(_holder(folder, key)) from None
            waiting(time.monotonic() - begun, _holder(folder, key))
            time.sleep(POLL_SECONDS)
        except OSError as error:
            raise StorageError(f"cannot write {folder / key}.lock: {error.strerror or error}") from error
    try:
        write_atomically(folder / f"{key}.json", json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n")
        yield
    finally:
        (folder / f"{key}.json").unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path, key: str) -> str:
    try:
        facts = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        return f"process {facts['pid']} on {facts['host']}"
    except (OSError, ValueError, KeyError):
        return "another process"  # it has not said yet who it is


class Use:
    """That this process uses a file's entry, from now until it is released, forgotten, or the process ends."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def release(self) -> None:
        """From now on the entry may be removed."""
        self._file.close()


def use(path: Path) -> Use | None:
    """Marks the entry whose entry.json is `path` as used; None where it is not there, or is just being removed."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return None
    fcntl.flock(file, fcntl.LOCK_SH)
    if _is(file, path):
        return Use(file)
    file.close()
    return None


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Whether no process uses the entry whose entry.json is `path`; while this holds, none begins to."""
    try:
        file = path.open("rb")
    except FileNotFoundError:  # damaged: nobody can use it
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _is(file: BinaryIO, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
