"""Work of a report that happens beside the rest, in a process of its own: a second core halves the wait for a report of many records."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from harness.errors import HarnessError


@contextmanager
def apart(work: Callable[[], list[Path]], worth_it: bool) -> Iterator[Callable[[], list[Path]]]:
    """Starts `work` in a forked process where it is worth it and the system has one to give; yields what waits for the files it wrote.

    A process that ends without an answer has its work done again by whoever waits, so that its error arises where it can be
    shown. Raises what `work` raises, then.
    """
    if not (worth_it and sys.platform == "linux" and (os.cpu_count() or 1) > 1):
        yield work
        return
    processes = multiprocessing.get_context("fork")  # the records are there already, and need no copy
    answer, told = processes.Pipe(duplex=False)
    child = processes.Process(target=_answer, args=(work, told), daemon=True)
    child.start()
    told.close()
    try:
        yield lambda: _awaited(answer, work)
    finally:
        child.kill()
        child.join()
        answer.close()


def _answer(work: Callable[[], list[Path]], told: Connection) -> None:
    try:
        told.send(work())
    except (HarnessError, KeyboardInterrupt):
        told.close()


def _awaited(answer: Connection, work: Callable[[], list[Path]]) -> list[Path]:
    try:
        found: list[Path] = answer.recv()
    except EOFError:
        return work()
    return found
