"""Step times, percentiles and rates."""

from __future__ import annotations

import statistics
import time

import pytest

from harness.measure.clock import MANY_PENDING, StepClock, percentiles


def test_percentiles_interpolate() -> None:
    found = percentiles([float(value) for value in range(101)])
    assert found is not None
    assert (found.p50, found.p90, found.p99) == (50, 90, 99)
    two = percentiles([10.0, 20.0])
    assert two is not None
    assert (two.p50, two.p90) == (15, 19)


def test_percentiles_of_nothing_are_none() -> None:
    assert percentiles([]) is None


def run(clock: StepClock, seconds: list[float], between: float = 0) -> None:
    for duration in seconds:
        clock.start()
        time.sleep(duration)
        clock.stop()
        time.sleep(between)


def test_steps_are_timed_and_rates_leave_out_the_warm_up_and_count_what_lies_between() -> None:
    clock = StepClock("cpu", warmup_steps=2)
    run(clock, [0.1, 0.1, 0.02, 0.02, 0.02], between=0.02)
    times = clock.step_ms()
    assert len(times) == 5
    assert statistics.median(times[2:]) == pytest.approx(20, abs=8)
    assert clock.seconds() == pytest.approx(0.1, abs=0.03)
    assert clock.per_second([1000, 1000, 1, 2, 3]) == pytest.approx(60, rel=0.3)
    assert clock.missing() is None


@pytest.mark.parametrize("steps", [0, 3])
def test_without_a_step_after_warm_up_there_are_no_rates_and_a_reason(steps: int) -> None:
    clock = StepClock("cpu", warmup_steps=3)
    run(clock, [0.0] * steps)
    assert clock.seconds() is None
    assert clock.per_second([1] * steps) is None
    assert clock.missing() == f"no step times and rates: {steps} steps, and measure.warmup_steps leaves out the first 3"


def test_many_steps_keep_their_order_and_number() -> None:
    clock = StepClock("cpu", warmup_steps=0)
    run(clock, [0.0] * (2 * MANY_PENDING + 3))
    assert len(clock.step_ms()) == 2 * MANY_PENDING + 3
    assert len(clock.step_ms()) == 2 * MANY_PENDING + 3, "reading twice adds nothing"


def test_a_step_that_did_not_end_is_not_counted() -> None:
    clock = StepClock("cpu", warmup_steps=0)
    run(clock, [0.0])
    clock.start()
    assert clock.steps == len(clock.step_ms()) == 1


@pytest.mark.gpu
def test_on_cuda_steps_are_timed_by_the_device_and_nobody_waits() -> None:
    import torch

    torch.cuda._sleep(1000)
    torch.cuda.synchronize()
    clock = StepClock("cuda", warmup_steps=1)
    before = time.perf_counter()
    for _ in range(5):
        clock.start()
        torch.cuda._sleep(200_000_000)
        clock.stop()
    queued = time.perf_counter() - before
    times = clock.step_ms()
    assert queued < sum(times) / 1000 / 2, "start and stop did not synchronise"
    assert min(times) > 20
    assert clock.seconds() == pytest.approx(sum(times[1:]) / 1000, rel=0.05)
