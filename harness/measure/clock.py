"""The clock of the training loop: how long optimizer steps take, without making the device wait for the clock."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from harness.measure.torch_memory import synchronise
from harness.records.parts import Percentiles

MANY_PENDING = 256


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """p50, p90 and p99 by linear interpolation between order statistics (numpy's default); None of no values."""
    if not values:
        return None
    import numpy

    p50, p90, p99 = (float(value) for value in numpy.percentile(values, [50, 90, 99]))
    return Percentiles(p50=p50, p90=p90, p99=p99)


class Mark(Protocol):
    """A point in time on the device."""

    def done(self) -> bool: ...

    def milliseconds_until(self, later: Any) -> float: ...


class _HostMark:
    def __init__(self) -> None:
        self._at = time.perf_counter()

    def done(self) -> bool:
        return True

    def milliseconds_until(self, later: _HostMark) -> float:
        return (later._at - self._at) * 1000


class _CudaMark:
    """An event in the current stream: the device notes the time when it gets there, and nobody waits."""

    def __init__(self) -> None:
        import torch

        self._event = torch.cuda.Event(enable_timing=True)
        self._event.record()

    def done(self) -> bool:
        return bool(self._event.query())

    def milliseconds_until(self, later: _CudaMark) -> float:
        return float(self._event.elapsed_time(later._event))


def mark_on(device: str) -> Mark:
    """Now: on `cpu` the host's time, on `cuda` the device's when it gets there; read it once the device has been waited for."""
    return _CudaMark() if device == "cuda" else _HostMark()


class StepClock:
    """Times optimizer steps: `start` and `stop` around each, then the readings once training is over.

    device: `cpu` or `cuda`. warmup_steps: the first steps, left out of the rates. On `cuda` the times are the
    device's own (CUDA events), and only the readings synchronise.
    """

    def __init__(self, device: str, warmup_steps: int) -> None:
        self.device, self.warmup_steps = device, warmup_steps
        self.steps = 0
        self._begun: Mark | None = None
        self._pending: deque[tuple[Mark, Mark]] = deque()
        self._step_ms: list[float] = []
        self._first: Mark | None = None
        self._last: Mark | None = None
        self._pauses: list[tuple[Mark, Mark]] = []
        self._counted_pauses = 0

    def start(self) -> None:
        """A step begins."""
        self._begun = mark_on(self.device)

    def stop(self) -> None:
        """The step that began last is done."""
        assert self._begun is not None, "stop without start"
        begun, ended = self._begun, mark_on(self.device)
        self._begun = None
        if self.steps == self.warmup_steps:
            self._first = begun
        self.steps += 1
        self._last = ended
        self._counted_pauses = len(self._pauses)
        self._pending.append((begun, ended))
        if len(self._pending) >= MANY_PENDING:
            self._collect(finished_only=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves what happens between two steps out of the rates."""
        begun = mark_on(self.device)
        yield
        if self._first is not None:
            self._pauses.append((begun, mark_on(self.device)))

    def step_ms(self) -> list[float]:
        """Milliseconds of every step, the warm-up steps included: `[warmup_steps:]` are those to be told."""
        synchronise(self.device)
        self._collect(finished_only=False)
        return list(self._step_ms)

    def seconds(self) -> float | None:
        """Wall time from the start of the first step after warm-up to the end of the last one, what lies between
        the steps (loading of batches, logging) included, pauses left out; None without a step after warm-up."""
        if self._first is None or self._last is None:
            return None
        synchronise(self.device)
        paused = sum(begun.milliseconds_until(ended) for begun, ended in self._pauses[: self._counted_pauses])
        return (self._first.milliseconds_until(self._last) - paused) / 1000

    def per_second(self, counts: Sequence[float]) -> float | None:
        """What was counted (tokens, samples) per second after warm-up; None without a step after warm-up.

        counts: one number per step, the warm-up steps included.
        """
        seconds = self.seconds()
        if not seconds:
            return None
        return sum(counts[self.warmup_steps : self.steps]) / seconds

    def missing(self) -> str | None:
        """Why there are no rates, None when there are."""
        if self.steps > self.warmup_steps:
            return None
        return f"no step times and rates: {self.steps} steps, and measure.warmup_steps leaves out the first {self.warmup_steps}"

    def _collect(self, finished_only: bool) -> None:
        # Events are a limited resource of the driver: those that the device has passed are read and let go.
        while self._pending and (not finished_only or self._pending[0][1].done()):
            begun, ended = self._pending.popleft()
            self._step_ms.append(begun.milliseconds_until(ended))
