"""How long a training loop waits for its data: the host's time in the data loader, by optimizer step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from harness.measure.clock import StepClock, percentiles
from harness.records.parts import Percentiles

Batch = TypeVar("Batch")


class DataWait:
    """Times what lies between asking for a batch and having it: reading, collating, pinning, waiting for workers.

    The copy to the device is not in it: that waits until the device has done what it was given before. A wait belongs to the
    step that begins after it; transformers' loader reads one batch ahead, so that the first step of an epoch waits for two.
    """

    def __init__(self) -> None:
        self.seconds_by_step: list[float] = []
        self._waited = 0.0

    def timed(self, start: Callable[[], Iterator[Batch]]) -> Iterator[Batch]:
        """The batches of the iterator that `start` makes; making it (starting workers) counts as a wait too."""
        began = time.perf_counter()
        batches = start()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self._waited += time.perf_counter() - began
            yield batch
            began = time.perf_counter()

    def step_begins(self) -> None:
        """The batches of an optimizer step are there."""
        self.seconds_by_step.append(self._waited)
        self._waited = 0.0

    def percentiles_ms(self, clock: StepClock) -> Percentiles | None:
        """Milliseconds waited per step after the clock's warm-up; None without such a step."""
        return percentiles([1000 * seconds for seconds in self.seconds_by_step[clock.warmup_steps : clock.steps]])

    def share(self, clock: StepClock) -> float | None:
        """Share of the clock's wall time after warm-up, 0..1. That time begins with a step whose data was there already, so
        it is None with fewer than two steps after warm-up."""
        seconds = clock.seconds()
        waits = self.seconds_by_step[clock.warmup_steps + 1 : clock.steps]
        return sum(waits) / seconds if seconds and waits else None
