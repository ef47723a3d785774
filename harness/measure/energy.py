"""Energy of the device by phase: from the driver's counter, else from its power readings; and per token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from harness.measure.phases import PhaseReading
from harness.measure.telemetry import Telemetry
from harness.records.measured import Energy, Latency, Training
from harness.records.parts import PhaseName

UNCOVERED_SHARE = 0.05
UNCOVERED_PERIODS = 3
LONGEST_GAP_SECONDS = 1.0

UNSEEN = "the sampler did not see all of {}: their energy is null"
BACKWARDS = "the driver's energy counter went backwards in {}: their energy is null"
STILL = "the driver's energy counter stood still in {}: their energy is null"


class _Joules(NamedTuple):
    """Energy and by how much it may be off; 0 of the driver's counter."""

    value: float
    error: float = 0.0


_Between = Callable[[PhaseReading], _Joules | str]
"""The energy of a phase, or the note that says why there is none."""


def energy_by_phase(readings: list[PhaseReading], samples: Telemetry, notes: list[str]) -> Energy:
    """Joules of the whole device by phase; a phase of which the readings don't tell is left out, and a note says why.

    A phase that occurs twice is summed, its errors too. Without counter and power readings nothing is told.
    """
    source, between = _source(samples)
    if source is None or between is None:
        return Energy()
    phases: dict[PhaseName, _Joules] = {}
    untold: dict[str, set[PhaseName]] = {}
    for reading in readings:
        found = between(reading)
        if isinstance(found, str):
            untold.setdefault(found, set()).add(reading.phase)
        else:
            before = phases.get(reading.phase, _Joules(0.0))
            phases[reading.phase] = _Joules(before.value + found.value, before.error + found.error)
    notes.extend(why.format(", ".join(sorted(names))) for why, names in untold.items())
    told = {phase: found for phase, found in phases.items() if not any(phase in names for names in untold.values())}
    if told and samples.facts.mig:
        notes.append("energy is the whole GPU's, of which the cell had a slice (MIG)")
    return Energy(
        phases={phase: found.value for phase, found in told.items()},
        source=source if told else None,
        error={phase: found.error for phase, found in told.items()} if source == "nvml_power" else {},
    )


def with_energy_per_token(energy: Energy, training: Training | None, generated: int | None) -> Energy:
    """The energy with joules per real token trained on and per token generated; None where one of both was not measured.

    generated: tokens that the whole generate phase generated, its untimed repetitions included.
    """
    trained = training.tokens if training is not None else None
    train, generate = energy.phases.get("train"), energy.phases.get("generate")
    per_token = {
        "joules_per_training_token": train / trained if train is not None and trained else None,
        "joules_per_generated_token": generate / generated if generate is not None and generated else None,
    }
    return energy.model_copy(update=per_token)


def tokens_generated(latency: Sequence[Latency], untimed_repeats: int) -> int | None:
    """Tokens that the phase `generate` generated, all repetitions and all sequences of a batch; None where an entry doesn't tell.

    The phase holds the form `unmerged`; of a cell that tunes nothing, `base`, which otherwise has a phase of its own.
    """
    unmerged = [entry for entry in latency if entry.form == "unmerged"]
    total = 0
    for entry in unmerged or [entry for entry in latency if entry.form == "base"]:
        if entry.repeats is None:
            return None
        total += entry.batch_size * entry.new_tokens * (entry.repeats + untimed_repeats)
    return total or None


def _source(samples: Telemetry) -> tuple[Literal["nvml_counter", "nvml_power"] | None, _Between | None]:
    """Where joules come from, and the joules of a phase."""
    import numpy

    period = samples.facts.period_ms / 1000
    at, counter = samples.readings("energy_j")
    if numpy.any(numpy.diff(counter) > 0):
        return "nvml_counter", _counted(at, counter, period)
    at, watt = samples.readings("power_w")
    if len(watt) > 1:
        return "nvml_power", _integrated(at, watt, period)
    return None, None


def _counted(at: Any, counter: Any, period: float) -> _Between:
    """The difference of the counter, linear between the moments at which it moved: the driver moves it less often
    than the sampler looks, and a phase between two moves must not get nothing. A counter that goes backwards (a driver that
    was loaded again, another device) begins anew, and nothing reaches over that."""
    import numpy

    falls = numpy.flatnonzero(numpy.diff(counter) < 0) + 1
    runs = list(zip(numpy.split(at, falls), numpy.split(counter, falls), strict=True))

    def joules(reading: PhaseReading) -> _Joules | str:
        if not _covers(at, period, reading):
            return UNSEEN
        run = next((run for run in runs if _covers(run[0], period, reading)), None)
        if run is None:
            return BACKWARDS
        moments, values = run
        moved = numpy.diff(values, prepend=numpy.nan) != 0
        before, after = numpy.interp([reading.started, reading.ended], moments[moved], values[moved])
        return _Joules(float(after - before)) if after > before else STILL

    return joules


def _integrated(at: Any, watt: Any, period: float) -> _Between:
    """Power over time, linear between two readings and constant beyond the first and the last. The error is how far the energy
    may be from that where power stays between the two readings: half of the upper less the lower Riemann sum, and more where a
    phase begins or ends between two readings."""
    import numpy

    def joules(reading: PhaseReading) -> _Joules | str:
        started, ended = reading.started, reading.ended
        around = slice(max(numpy.searchsorted(at, started, side="right") - 1, 0), numpy.searchsorted(at, ended) + 1)
        moments, power = at[around], watt[around]
        longest = max(LONGEST_GAP_SECONDS, _slack(period, reading))
        if not _covers(at, period, reading) or numpy.diff(moments).max(initial=0.0) > longest:
            return UNSEEN
        begins, ends = numpy.maximum(moments[:-1], started), numpy.minimum(moments[1:], ended)
        spans = ends - begins
        energy = numpy.interp((begins + ends) / 2, at, watt) * spans
        least, most = (bound(power[:-1], power[1:]) * spans for bound in (numpy.minimum, numpy.maximum))
        beyond = watt[0] * max(min(at[0], ended) - started, 0) + watt[-1] * max(ended - max(at[-1], started), 0)
        return _Joules(float(energy.sum() + beyond), float(numpy.maximum(most - energy, energy - least).sum()))

    return joules


def _covers(at: Any, period: float, reading: PhaseReading) -> bool:
    slack = _slack(period, reading)
    return bool(at[0] <= reading.started + slack and at[-1] >= reading.ended - slack)


def _slack(period: float, reading: PhaseReading) -> float:
    """How long the readings may miss at a phase's ends."""
    return max(UNCOVERED_PERIODS * period, UNCOVERED_SHARE * (reading.ended - reading.started))
