"""What one phase of a cell was measured to take, as the cell's own process saw it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.records.parts import PhaseName


@dataclass(frozen=True)
class PhaseReading:
    """One phase from start to end.

    started, ended: time.monotonic() seconds (one clock for all processes of a Linux machine, so the sampler's
    readings can be laid beside). Memory peaks in bytes while it ran; None where this machine cannot tell.
    """

    phase: PhaseName
    started: float
    ended: float
    torch_allocated: int | None = None
    torch_reserved: int | None = None
    host_rss: int | None = None
