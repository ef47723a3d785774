"""How long a loop waits for its data, apart from what it does with it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from harness.measure.clock import StepClock
from harness.measure.data_wait import DataWait

LOADING = 0.02


def slow_batches() -> Iterator[int]:
    for number in range(4):
        time.sleep(LOADING)
        yield number


def test_waiting_is_counted_and_working_is_not() -> None:
    waits, clock = DataWait(), StepClock("cpu", warmup_steps=1)
    read = []
    for number in waits.timed(slow_batches):
        waits.step_begins()
        clock.start()
        time.sleep(0.1)
        clock.stop()
        read.append(number)
    assert read == [0, 1, 2, 3]
    assert len(waits.seconds_by_step) == 4
    assert min(waits.seconds_by_step) >= LOADING
    found, share, seconds = waits.percentiles_ms(clock), waits.share(clock), clock.seconds()
    assert found is not None
    assert found.p50 >= 1000 * LOADING
    assert share is not None
    assert seconds is not None
    assert share * seconds == pytest.approx(sum(waits.seconds_by_step[2:])), "the first timed step's data was there before the time began"
    assert share < 1


def test_starting_the_loader_is_a_wait() -> None:
    def start() -> Iterator[int]:
        time.sleep(LOADING)
        return iter([1])

    waits = DataWait()
    assert list(waits.timed(start)) == [1]
    waits.step_begins()
    assert waits.seconds_by_step[0] >= LOADING


def test_batches_of_one_step_are_waited_for_together_and_several_epochs_go_on() -> None:
    waits = DataWait()
    for _ in range(2):
        batches = waits.timed(slow_batches)
        for _ in range(2):
            next(batches)
            next(batches)
            waits.step_begins()
    assert len(waits.seconds_by_step) == 4
    assert min(waits.seconds_by_step) >= 2 * LOADING


def test_without_a_step_after_warm_up_there_are_no_waits_and_with_one_no_share() -> None:
    waits, clock = DataWait(), StepClock("cpu", warmup_steps=1)
    assert (waits.percentiles_ms(clock), waits.share(clock)) == (None, None)
    for _ in range(2):
        waits.step_begins()
        clock.start()
        clock.stop()
    assert waits.percentiles_ms(clock) is not None
    assert waits.share(clock) is None
