"""A few numbers that a cell's process shows the sampler beside it, in memory that both share.

Writing one is a store of eight aligned bytes, which no reader sees half done, and nobody waits for anybody: numbers that were
written one after the other may be read between the two, which a timeline can bear.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any

from harness.measure.torch_memory import read_current

STEP, ALLOCATED, RESERVED = range(3)
NOT_SHOWN = -1


@dataclass(frozen=True)
class Shown:
    """What stands on a board: optimizer steps done, None outside of training; torch's bytes at the last progress or change of phase, None on `cpu`."""

    step: int | None
    torch_allocated: int | None
    torch_reserved: int | None


class Board:
    """Written by the cell's process, read by the sampler's. device: `cpu` or `cuda`. places: the memory behind it; None: this process's own."""

    def __init__(self, device: str = "cpu", places: MutableSequence[int] | Any | None = None) -> None:
        self._device = device
        self._places = [NOT_SHOWN] * 3 if places is None else places
        for place in (STEP, ALLOCATED, RESERVED):
            self._places[place] = NOT_SHOWN

    @classmethod
    def shared(cls, context: BaseContext, device: str) -> Board:
        """One in anonymous memory that processes started by `context` get as an argument."""
        return cls(device, context.RawArray("q", 3))

    def phase(self, interrupts: bool) -> None:
        """A phase begins. interrupts: within another one, or that goes on after it, so the step stays."""
        if not interrupts:
            self._places[STEP] = NOT_SHOWN
        self.show_torch()

    def step(self, done: int) -> None:
        """That many optimizer steps are done."""
        self._places[STEP] = done

    def read(self) -> Shown:
        """What stands there now."""
        step, allocated, reserved = (None if value == NOT_SHOWN else int(value) for value in self._places[:])
        return Shown(step, allocated, reserved)

    def show_torch(self) -> None:
        """Writes what torch holds now. Takes microseconds and waits for no device; nothing to do on `cpu`, where torch does not count."""
        if self._device != "cuda":
            return
        now = read_current()
        if now.allocated is not None and now.reserved is not None:
            self._places[ALLOCATED], self._places[RESERVED] = now.allocated, now.reserved
