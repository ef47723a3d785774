"""What the sampler looks at: a cell's process with its children, the device, and the board that the cell writes."""

from __future__ import annotations

import os
import time

from harness.measure.board import Board
from harness.measure.device_processes import Division, divide
from harness.measure.host import descendants, resident_bytes
from harness.measure.nvml import Nvml
from harness.measure.telemetry import TelemetryFacts

LOOK_FOR_CHILDREN_S = 0.5
STATE_S = 0.1
MOST_TIME_FOR_CHILDREN = 0.05
Row = dict[str, float | None]


class SampledCell:
    """One cell, read row by row. nvml, board: None where there is none.

    state_s: seconds between two readings of what the driver itself renews seldom, or what is wanted roughly: every call
    is the driver's work, beside the cell's.
    """

    def __init__(self, pid: int, nvml: Nvml | None, board: Board | None, state_s: float = STATE_S) -> None:
        self._pid, self._nvml, self._board = pid, nvml, board
        self._state_s, self._state_due = state_s, 0.0
        self._children: list[int] = []
        self._family = {pid}  # children that have ended are of it too: the driver may still list them
        self._look_again = 0.0
        self._own_listed = False
        self._strangers: set[int] = set()
        self._strangers_before: int | None = None
        self._unlisted_before: int | None = None

    def read(self) -> Row:
        """One row; host_rss is None when the process is gone."""
        if time.monotonic() >= self._look_again:
            self._look_for_children()
        own, at = resident_bytes(self._pid), time.monotonic()
        row: Row = {"at": at, "host_rss": own}
        if own is not None:
            row["host_rss"] = own + sum(resident_bytes(child) or 0 for child in self._children)
        if self._nvml is not None:
            row |= self._memory(self._nvml) | {"power_w": self._nvml.power(), "energy_j": self._nvml.energy()}
            if at >= self._state_due:
                self._state_due = at + self._state_s
                row |= _state(self._nvml)
        if self._board is not None:
            row |= vars(self._board.read())
        return row

    def tell(self, facts: TelemetryFacts) -> None:
        """Adds what was found out about the device's processes."""
        facts.mig = self._nvml is not None and self._nvml.device.mig
        facts.own_listed = self._own_listed
        facts.others_seen, facts.others_before = len(self._strangers), self._strangers_before or 0
        facts.unlisted_before = self._unlisted_before

    def _memory(self, nvml: Nvml) -> Row:
        holders = nvml.holders()
        row: Row = {"nvml_device": nvml.device_memory()}
        if holders is None:
            return row
        found = divide(holders, self._family)
        if not found.strangers <= self._strangers:
            self._look_for_children()  # who is new on the device may be a child that is new
            found = divide(holders, self._family)
        self._own_listed |= found.listed
        self._strangers |= found.strangers
        if self._strangers_before is None:
            self._strangers_before = len(found.strangers)
            self._unlisted_before = _unlisted(nvml, row["nvml_device"], found)
        return row | {"nvml_process": found.own, "others_bytes": found.others}

    def _look_for_children(self) -> None:
        began = time.monotonic()
        self._children = [child for child in descendants(self._pid) if child != os.getpid()]
        self._family.update(self._children)
        ended = time.monotonic()
        self._look_again = ended + max(LOOK_FOR_CHILDREN_S, (ended - began) / MOST_TIME_FOR_CHILDREN)


def _unlisted(nvml: Nvml, used: float | None, found: Division) -> int | None:
    """Bytes in use that neither the driver keeps for itself nor a process on its lists holds; None where it does not tell,
    and of an instance, whose share of what the driver keeps is not told."""
    reserved = None if nvml.device.mig else nvml.device_memory_reserved()
    if used is None or reserved is None or found.others is None or (found.listed and found.own is None):
        return None
    return max(int(used) - reserved - found.others - (found.own or 0), 0)


def _state(nvml: Nvml) -> Row:
    """How busy the device is, and how it fares."""
    utilisation_sm, utilisation_memory = nvml.utilisation()
    clock_sm, clock_memory = nvml.clocks()
    return {
        "utilisation_sm": utilisation_sm,
        "utilisation_memory": utilisation_memory,
        "temperature_c": nvml.temperature(),
        "clock_sm_mhz": clock_sm,
        "clock_memory_mhz": clock_memory,
        "throttle_reasons": nvml.throttle_reasons(),
    }

