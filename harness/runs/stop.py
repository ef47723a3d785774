"""Stopping a run: Ctrl-C, SIGTERM or the end of the terminal once, and cells in progress are ended; twice, and they are killed. Or it starts no more."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether a run shall stop, with a file descriptor that multiprocessing.connection.wait can wait for.

    times: how often it was asked to; 2 and more means at once.
    """

    def __init__(self) -> None:
        self.times = 0
        self._enough = False
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._readable, False)
        os.set_blocking(self._writable, False)

    def request(self) -> None:
        """Asks the run to stop; wakes whoever waits."""
        self.times += 1
        with suppress(BlockingIOError):  # full of requests that nobody has seen yet: one more says nothing new
            os.write(self._writable, b"!")

    def start_no_more(self) -> None:
        """Has the cells in progress come to their end, and no further one started."""
        self._enough = True

    @property
    def starts_no_more(self) -> bool:
        """Whether no further cell is to be started, whatever becomes of those in progress."""
        return self._enough or self.times > 0

    def fileno(self) -> int:
        """Readable from a request on until `seen`."""
        return self._readable

    def seen(self) -> None:
        """The requests up to now have been noticed: fileno is not readable until the next."""
        with suppress(BlockingIOError):
            os.read(self._readable, 4096)

    @contextmanager
    def on_signals(self) -> Iterator[Stop]:
        """While this holds, SIGINT, SIGTERM and SIGHUP are requests to stop (in the main thread; elsewhere they are let be).

        Not SIGHUP below nohup: who asked for that wants the run to outlive the terminal.
        """

        def request(number: int, frame: FrameType | None) -> None:
            self.request()

        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        heard = [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, request) for number in heard}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """Gives the pipe back."""
        os.close(self._readable)
        os.close(self._writable)
