"""Phases in which the device slowed its clocks: numbers of time from there tell of heat or a power limit, not of the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.measure.phases import PhaseReading
from harness.measure.telemetry import Telemetry
from harness.records.parts import PhaseName

# nvml.h, nvmlClocksEventReason...: of its bits those that mean heat or power. An idle device, clocks that somebody set, and
# those of a group that boosts together are no slowdown.
SLOWDOWNS: Mapping[str, int] = {
    "SwPowerCap": 0x4,
    "HwSlowdown": 0x8,
    "SwThermalSlowdown": 0x20,
    "HwThermalSlowdown": 0x40,
    "HwPowerBrakeSlowdown": 0x80,
}


def throttled_phases(readings: Sequence[PhaseReading], samples: Telemetry, notes: list[str]) -> dict[PhaseName, list[str]]:
    """Phase -> the reasons that were active in any of its samples; a note tells in what share of them each was."""
    throttled: dict[PhaseName, list[str]] = {}
    for phase in dict.fromkeys(reading.phase for reading in readings):
        shares = _shares([reading for reading in readings if reading.phase == phase], samples)
        if shares:
            throttled[phase] = list(shares)
            told = ", ".join(f"{reason} in {100 * share:.2g} %" for reason, share in shares.items())
            notes.append(f"the GPU slowed its clocks in {phase}, of the samples: {told}")
    return throttled


def _shares(readings: Sequence[PhaseReading], samples: Telemetry) -> dict[str, float]:
    """Reason -> share of the samples in these stretches of time with that reason; reasons that none has are left out."""
    import numpy

    masks = numpy.concatenate([samples.within("throttle_reasons", reading.started, reading.ended) for reading in readings]).astype(int)
    shares = {reason: float((masks & bit != 0).mean()) if len(masks) else 0.0 for reason, bit in SLOWDOWNS.items()}
    return {reason: share for reason, share in shares.items() if share}
