"""Step times, percentiles and rates."""

from __future__ import annotations

import time
from dataclasses import dataclass

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


@dataclass
class Around:
    """Points of time just outside and just inside of what a clock has timed, in seconds: bounds on a busy machine."""

    before: float
    inside_from: float
    inside_to: float
    after: float


def run(clock: StepClock, seconds: list[float], between: float = 0) -> list[Around]:
    """Steps of so many seconds; one entry each."""
    steps = []
    for duration in seconds:
        before = time.perf_counter()
        clock.start()
        inside_from = time.perf_counter()
        time.sleep(duration)
        inside_to = time.perf_counter()
        clock.stop()
        steps.append(Around(before, inside_from, inside_to, time.perf_counter()))
        time.sleep(between)
    return steps


def test_steps_are_timed() -> None:
    clock = StepClock("cpu", warmup_steps=2)
    steps = run(clock, [0.05, 0.01, 0.02, 0.0])
    for step, measured_ms in zip(steps, clock.step_ms(), strict=True):
        assert (step.inside_to - step.inside_from) * 1000 <= measured_ms <= (step.after - step.before) * 1000


def test_rates_leave_out_the_warm_up_and_count_what_lies_between_the_steps() -> None:
    clock = StepClock("cpu", warmup_steps=2)
    steps = run(clock, [0.1, 0.1, 0.02, 0.02, 0.02], between=0.02)
    seconds = clock.seconds()
    assert seconds is not None
    assert steps[-1].inside_to - steps[2].inside_from <= seconds <= steps[-1].after - steps[2].before
    assert clock.per_second([1000, 1000, 1, 2, 3]) == pytest.approx(6 / seconds)
    assert clock.missing() is None


def test_pauses_between_the_steps_are_left_out_of_the_rates() -> None:
    clock = StepClock("cpu", warmup_steps=1)
    for _ in range(4):  # the first pause is in the warm-up, the last after the last step
        run(clock, [0.01])
        with clock.paused():
            time.sleep(0.2)
    seconds = clock.seconds()
    assert seconds is not None
    assert sum(clock.step_ms()[1:]) / 1000 <= seconds < 0.2


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
    with clock.paused():
        torch.cuda._sleep(2_000_000_000)
    clock.start()
    torch.cuda._sleep(200_000_000)
    clock.stop()
    assert clock.seconds() == pytest.approx(sum(clock.step_ms()[1:]) / 1000, rel=0.05)
