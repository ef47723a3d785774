"""A request to stop wakes who waits, and is counted."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import wait

import pytest

from harness.runs.stop import Stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_a_request_and_nothing_else(number: signal.Signals) -> None:
    stop = Stop()
    before = signal.getsignal(number)
    with stop.on_signals():
        assert wait([stop.fileno()], 0) == []
        os.kill(os.getpid(), number)
        assert wait([stop.fileno()], 5) == [stop.fileno()]
        os.kill(os.getpid(), number)
    stop.seen()
    assert wait([stop.fileno()], 0) == []
    assert stop.times == 2
    assert signal.getsignal(number) is before
    stop.close()


def test_below_nohup_the_end_of_the_terminal_is_no_request() -> None:
    stop, before = Stop(), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop.on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert wait([stop.fileno()], 0.1) == []
    finally:
        signal.signal(signal.SIGHUP, before)
        stop.close()


def test_any_number_of_requests_does_not_block() -> None:
    stop = Stop()
    for _ in range(100_000):
        stop.request()
    assert stop.times == 100_000
    stop.close()
