"""How long a cell has been in a phase: what its limit is compared with."""

from __future__ import annotations

from harness.measure.phases import PhaseReading
from harness.records.parts import PhaseName
from harness.runs.events import PhaseStarted
from harness.runs.phase_time import PhaseTime

LIMITS: dict[PhaseName, float] = {"train": 10.0, "evaluate_dev": 5.0}


def test_a_limit_counts_from_the_beginning_of_the_phase() -> None:
    time = PhaseTime()
    assert time.deadline(LIMITS) is None
    time.started(PhaseStarted("load", 1.0))
    assert time.deadline(LIMITS) is None
    time.started(PhaseStarted("train", 2.0))
    assert time.deadline(LIMITS) == 12.0
    time.ended(PhaseReading("train", 2.0, 4.0))
    assert time.deadline(LIMITS) is None
    time.started(PhaseStarted("train", 20.0))
    assert time.deadline(LIMITS) == 30.0, "another beginning"


def test_a_limit_is_over_all_parts_of_a_phase_that_is_interrupted() -> None:
    time = PhaseTime()
    time.started(PhaseStarted("train", 0.0))
    for begun in (0.0, 100.0):
        time.ended(PhaseReading("train", begun, begun + 3.0))
        time.started(PhaseStarted("evaluate_dev", begun + 3.0, interrupts=True))
        time.ended(PhaseReading("evaluate_dev", begun + 3.0, begun + 4.0))
        time.started(PhaseStarted("train", begun + 100.0, interrupts=True))
    assert time.deadline(LIMITS) == 200.0 + 10.0 - 6.0
    time.ended(PhaseReading("train", 200.0, 201.0))
    time.started(PhaseStarted("evaluate_dev", 201.0, interrupts=True))
    assert time.deadline(LIMITS) == 201.0 + 5.0 - 2.0
