"""Energy of the device by phase: from the driver's counter, else from its power readings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from harness.measure.phases import PhaseReading
from harness.measure.telemetry import Telemetry
from harness.records.measured import Energy
from harness.records.parts import PhaseName

UNCOVERED_SHARE = 0.05
UNCOVERED_PERIODS = 3
Joules = Callable[[float, float], float]


def energy_by_phase(readings: list[PhaseReading], samples: Telemetry, notes: list[str]) -> Energy:
    """Joules of the whole device by phase; a phase is left out, and a note says so, when the samples do not reach
    over it. Without counter and power readings nothing is told."""
    source, at, joules = _source(samples)
    if source is None or joules is None:
        return Energy()
    phases: dict[PhaseName, float] = {}
    uncovered: set[PhaseName] = set()
    for reading in readings:
        if _covers(at, samples.facts.period_ms / 1000, reading):
            phases[reading.phase] = phases.get(reading.phase, 0.0) + joules(reading.started, reading.ended)
        else:
            uncovered.add(reading.phase)
    if uncovered:
        notes.append(f"the sampler did not see all of {', '.join(sorted(uncovered))}: their energy is null")
    told = {phase: value for phase, value in phases.items() if phase not in uncovered}
    return Energy(phases=told, source=source if told else None)


def _source(samples: Telemetry) -> tuple[Literal["nvml_counter", "nvml_power"] | None, Any, Joules | None]:
    """Where joules come from, when its readings were taken, and the joules between two points of time."""
    at, counter = samples.readings("energy_j")
    if len(counter) > 1 and counter[-1] > counter[0]:
        return "nvml_counter", at, _counted(at, counter)
    at, watt = samples.readings("power_w")
    if len(watt) > 1:
        return "nvml_power", at, _integrated(at, watt)
    return None, at, None


def _counted(at: Any, counter: Any) -> Joules:
    """The difference of the counter, linear between the moments at which it moved: the driver moves it less often
    than the sampler looks, and a phase between two moves must not get nothing."""
    import numpy

    moved = numpy.diff(counter, prepend=numpy.nan) != 0

    def joules(started: float, ended: float) -> float:
        before, after = numpy.interp([started, ended], at[moved], counter[moved])
        return float(after - before)

    return joules


def _integrated(at: Any, watt: Any) -> Joules:
    """Power over time by the trapezoidal rule, the ends of the phase interpolated."""
    import numpy

    def joules(started: float, ended: float) -> float:
        inside = (at > started) & (at < ended)
        moments = numpy.concatenate([[started], at[inside], [ended]])
        return float(numpy.trapezoid(numpy.interp(moments, at, watt), moments))

    return joules


def _covers(at: Any, period: float, reading: PhaseReading) -> bool:
    slack = max(UNCOVERED_PERIODS * period, UNCOVERED_SHARE * (reading.ended - reading.started))
    return bool(at[0] <= reading.started + slack and at[-1] >= reading.ended - slack)
