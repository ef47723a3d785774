"""Processes and what they leave behind: dying with the parent, signalling a whole tree, ending orphans."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress

import psutil

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
LINUX = sys.platform == "linux"
REAP_SECONDS = 2.0


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")


def die_with_parent(parent: int) -> None:
    """From now on the kernel kills this process when `parent`, its parent, dies. Linux only, elsewhere nothing."""
    if not LINUX:
        return
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was told
        os.kill(os.getpid(), signal.SIGKILL)


def signal_tree(root: int, number: signal.Signals) -> None:
    """Sends the signal to a process, to all its descendants, and to the session's group that it leads."""
    try:
        family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for process in family:
        _send(process, number)
    # nobody may be left in the group, or root has not made its own yet and was reached above
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(root, number)


class Orphans:
    """Makes this process the one that orphaned descendants fall to, so that none outlives its cell unseen.

    A cell's grandchild that has left the cell's process group would otherwise be handed to init. Linux only;
    elsewhere there is no way to find such a process and only the group is ended.
    """

    def __init__(self) -> None:
        if LINUX:
            _prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._ours = {child.pid for child in psutil.Process().children()}

    def close(self) -> None:
        """Orphans are init's again."""
        if LINUX:
            _prctl(PR_SET_CHILD_SUBREAPER, 0)

    def keep(self, pid: int | None) -> None:
        """That child is none of the orphans: the fork server, started anew."""
        if pid is not None:
            self._ours.add(pid)

    def end(self, session: int | None) -> None:
        """Kills the orphans of that session (a cell's pid); all of them for None, and reaps them."""
        for process in self._adopted():
            if session is None or _session(process.pid) == session:
                for member in _family(process):
                    _send(member, signal.SIGKILL)
                _reap(process)

    def _adopted(self) -> Iterable[psutil.Process]:
        return [child for child in psutil.Process().children() if child.pid not in self._ours]


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return [process]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _send(process: psutil.Process, number: signal.Signals) -> None:
    # gone meanwhile, or it has taken another user's rights and is out of our hands
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process.send_signal(number)


def _reap(process: psutil.Process) -> None:
    # stuck in the kernel, or another user's: init reaps it after us
    with suppress(psutil.TimeoutExpired):
        process.wait(timeout=REAP_SECONDS)
