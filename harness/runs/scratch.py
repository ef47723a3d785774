"""Temporary files of a run's processes: in one folder, which goes with the run, or, where that was killed, with the next one.

    $TMPDIR/harness-xxxxxxxx/               this process's
                             .scratch.lock  held for as long as it lives
                             pymp-xxxxxxxx/ the fork server's socket
                             xxxxxxxx/      TMPDIR of one cell, removed when that has ended

A library that a cell uses may leave there what it likes, and a cell that is killed has no time to tidy up.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing import util
from pathlib import Path

from harness.errors import StorageError

PREFIX = "harness-"
LOCK = ".scratch.lock"
AFTER_MULTIPROCESSING = -200  # whose own finalizer, at -100, removes its folder in ours
LONGEST_SOCKET_FOLDER = 107 - len("/pymp-xxxxxxxx/listener-xxxxxxxx")  # bytes; sockaddr_un in unix(7)


@functools.cache
def scratch() -> Path:
    """This process's folder: made at the first call, removed when the process ends. Raises StorageError."""
    try:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)  # taken for left behind before it was locked
    except OSError as error:
        raise _no_room(error) from error
    util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=AFTER_MULTIPROCESSING)
    return folder


def scratch_of_a_cell() -> Path:
    """A new folder in this process's; raises StorageError."""
    try:
        return Path(tempfile.mkdtemp(prefix="", dir=scratch()))
    except OSError as error:
        raise _no_room(error) from error


@contextlib.contextmanager
def temporary_files_in_scratch() -> Iterator[None]:
    """What makes temporary files meanwhile, here or in a process started meanwhile, makes them there.

    Unless the path is too long for a socket, as it is not without it. Raises StorageError.
    """
    folder = str(scratch())
    if len(os.fsencode(folder)) > LONGEST_SOCKET_FOLDER:
        yield
        return
    before, environment = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    try:
        yield
    finally:
        tempfile.tempdir = before
        if environment is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = environment


def remove_abandoned() -> None:
    """Removes the folders of this user's processes that were killed; those of the living stay."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):  # held, another user's, or gone meanwhile
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_uid == os.getuid():
                    shutil.rmtree(lock.parent)
            finally:
                os.close(descriptor)


def _no_room(error: OSError) -> StorageError:
    return StorageError(f"cannot make temporary files: {error.strerror or error}; set TMPDIR to a folder that has room for them")
