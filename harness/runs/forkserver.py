"""The fork server: one process that has imported torch, transformers and peft, and that all others are forked from.

multiprocessing's own, with four things seen to: `__main__` is not run again in every process, a Ctrl-C in the
terminal does not reach it, it imports what this process would import, and an import that failed is noticed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.forkserver import ensure_running
from typing import Any

import psutil

from harness.errors import HarnessError
from harness.runs.scratch import temporary_files_in_scratch
from harness.runs.source_version import source_version
from harness.runs.stop import Stop

PRELOAD = "harness.runs.preload"
DYING_SECONDS = 1.0


def context() -> ForkServerContext:
    """The multiprocessing context whose pipes and events go to processes of the fork server."""
    return multiprocessing.get_context("forkserver")


def start(stop: Stop) -> int | None:
    """Starts the fork server, unless it runs, and returns its pid when it can fork: seconds later, as it imports torch.

    Returns None, early, when the run is to stop. Raises HarnessError when the server cannot import what cells need, or runs
    another harness than this process: one that was installed meanwhile; StorageError where it can have no temporary files.
    """
    source_version()  # as this process began, not as it may be when the server has to be started again
    multiprocessing.get_context("forkserver").set_forkserver_preload([PRELOAD])
    with _as_servers_start():
        ensure_running()
    answer, question = context().Pipe(duplex=False)
    # the first fork waits for the imports; in a thread, so that a Ctrl-C meanwhile is heard
    threading.Thread(target=_ask, args=(question,), daemon=True).start()
    while not stop.times:
        ready = wait([answer, stop.fileno()])
        if answer in ready:
            return _server(answer)
        stop.seen()
    return None


def alive(server: int | None) -> bool:
    """Whether that process still runs."""
    try:
        return server is not None and psutil.Process(server).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def server_of(pid: int) -> int | None:
    """The server that forked that process: another one where multiprocessing has found the last one dead. None: it cannot be told any more."""
    try:
        parent = psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        return None
    return None if parent == os.getpid() else parent  # its server is dead, and it has fallen to us


def is_dying(server: int | None) -> bool:
    """Whether that process, which has just closed its connection, is gone, or goes within a second."""
    deadline = time.monotonic() + DYING_SECONDS
    while alive(server) and time.monotonic() < deadline:
        time.sleep(DYING_SECONDS / 100)
    return not alive(server)


def fork(target: Callable[..., None], *args: Any, daemon: bool = False) -> ForkServerProcess:
    """A new process of the fork server that runs `target(*args)`, importable by name. daemon: may have no children."""
    process = context().Process(target=target, args=args, daemon=daemon)
    try:
        with _as_servers_start():  # where the server has died, multiprocessing starts another
            process.start()
    except (EOFError, OSError) as error:
        raise HarnessError(f"the fork server does not fork ({error}); repeat the command to go on") from error
    return process


def answer_preloaded(question: Connection) -> None:
    """Runs in a forked process: tells the server's pid and its harness, or why it has not preloaded."""
    os.setsid()
    try:
        from harness.runs import preload
    except ImportError as error:
        question.send(f"{type(error).__name__}: {error}")
    else:
        server = os.getppid()
        question.send((server, preload.SOURCE) if server == preload.PRELOADED_IN else "its imports were not kept")


def _ask(question: Connection) -> None:
    with contextlib.suppress(HarnessError):  # the server died: whoever waits for the answer sees the pipe's end
        fork(answer_preloaded, question).join()
    question.close()


def _server(answer: Connection) -> int:
    try:
        told = answer.recv()
    except EOFError:
        raise HarnessError(f"the fork server ended while it imported {PRELOAD}; its own words are above") from None
    if isinstance(told, str):
        raise HarnessError(f"the fork server could not import {PRELOAD}: {told}")
    server, source = told
    if source != source_version():
        raise HarnessError(f"cells would run in harness {source}, and this run began in {source_version()}: it was changed meanwhile; repeat the command to go on")
    return int(server)


@contextlib.contextmanager
def _as_servers_start() -> Iterator[None]:
    """Around everything that may start a server."""
    with _blocked_sigint(), _same_imports(), _no_main_module(), temporary_files_in_scratch():
        yield


@contextlib.contextmanager
def _blocked_sigint() -> Iterator[None]:
    """What is started meanwhile has SIGINT blocked: Ctrl-C goes to the terminal's whole process group, and only
    the run itself decides what becomes of the cells. One that arrives meanwhile is delivered afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """multiprocessing would run the main script again in every process, for functions that we never define there."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _same_imports() -> Iterator[None]:
    """What is started meanwhile finds modules where this process does, and not in the working directory first
    (a file `evaluate.py` or `datasets.py` there is not the library)."""
    changes = {
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
        "PYTHONSAFEPATH": "1",
        # sets of names are gone through in the same order in every run
        "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0"),
        # multiprocessing's resource tracker tidies up after a cell that was killed, and need not say so
        "PYTHONWARNINGS": "ignore:resource_tracker",
    }
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
