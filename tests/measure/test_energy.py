"""Energy by phase and per token, from telemetry written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.measure.energy import energy_by_phase, tokens_generated, with_energy_per_token
from harness.measure.phases import PhaseReading
from harness.measure.telemetry import read_telemetry
from harness.records.measured import Energy, Latency, Training
from harness.records.parts import Percentiles

SECONDS = [tick / 100 for tick in range(401)]
TRAIN, EVALUATE = PhaseReading("train", 1.0, 2.0), PhaseReading("evaluate", 2.5, 3.5)


@pytest.fixture
def measured(telemetry: Callable[..., Path]) -> Callable[..., tuple[Energy, list[str]]]:
    """The energy of phases, and the notes, of columns laid beside the seconds."""

    def of(readings: list[PhaseReading], at: list[float] = SECONDS, facts: dict[str, Any] | None = None, **columns: list[float | None]) -> tuple[Energy, list[str]]:
        rows = [dict(zip(["at", *columns], values, strict=True)) for values in zip(at, *columns.values(), strict=True)]
        notes: list[str] = []
        return energy_by_phase(readings, read_telemetry(telemetry(rows, **(facts or {}))), notes), notes

    return of


def counter(begin: float, watt: float = 100.0, step: float = 0.05) -> list[float]:
    """A counter that the driver moves every `step` seconds."""
    return [begin + watt * step * int(second / step + 1e-9) for second in SECONDS]


def test_the_counter_has_no_sampling_error(measured: Any) -> None:
    energy, notes = measured([TRAIN, EVALUATE], energy_j=counter(1e6))
    assert energy.source == "nvml_counter"
    assert energy.phases == {"train": pytest.approx(100), "evaluate": pytest.approx(100)}
    assert (energy.error, notes) == ({}, [])


def test_a_counter_that_is_reset_in_a_phase_leaves_that_phase_null_and_no_other(measured: Any) -> None:
    values = [value if second < 1.5 else value - 1000 for second, value in zip(SECONDS, counter(1e3), strict=True)]
    energy, notes = measured([TRAIN, EVALUATE], energy_j=values)
    assert energy.phases == {"evaluate": pytest.approx(100)}
    assert energy.source == "nvml_counter"
    assert notes == ["the driver's energy counter went backwards in train: their energy is null"]


def test_a_counter_that_is_smaller_at_the_end_than_at_the_beginning_still_tells(measured: Any) -> None:
    values = [value if second < 2.25 else value - 1e6 for second, value in zip(SECONDS, counter(1e6), strict=True)]
    energy, _ = measured([TRAIN, EVALUATE], energy_j=values)
    assert energy.phases == {"train": pytest.approx(100), "evaluate": pytest.approx(100)}


def test_a_phase_that_occurs_twice_is_null_where_one_of_them_is(measured: Any) -> None:
    values = [value if second < 1.5 else value - 1000 for second, value in zip(SECONDS, counter(1e3), strict=True)]
    energy, _ = measured([TRAIN, PhaseReading("train", 2.5, 3.5)], energy_j=values)
    assert (energy.phases, energy.source) == ({}, None)


def test_a_counter_that_stands_still_is_null_and_not_0(measured: Any) -> None:
    values = [value if second < 2.2 else 1220.0 for second, value in zip(SECONDS, counter(1e3), strict=True)]
    energy, notes = measured([TRAIN, EVALUATE], energy_j=values)
    assert set(energy.phases) == {"train"}
    assert notes == ["the driver's energy counter stood still in evaluate: their energy is null"]


def test_a_counter_that_never_moves_gives_way_to_power(measured: Any) -> None:
    energy, _ = measured([TRAIN], energy_j=[5.0] * len(SECONDS), power_w=[100.0] * len(SECONDS))
    assert (energy.source, energy.phases, energy.error) == ("nvml_power", {"train": pytest.approx(100)}, {"train": pytest.approx(0)})


def test_sampled_power_tells_by_how_much_it_may_be_off(measured: Any) -> None:
    """Power that jumps from 100 to 300 W at 1.5 s, somewhere between two readings of 10 ms: 200 W for half of that."""
    energy, _ = measured([TRAIN], power_w=[100.0 if second < 1.5 else 300.0 for second in SECONDS])
    assert energy.phases["train"] == pytest.approx(200, abs=1.1)
    assert energy.error["train"] == pytest.approx(200 * 0.01 / 2)


@pytest.mark.parametrize("every", [1, 7, 40])
@pytest.mark.parametrize(("begins", "ends"), [(1.0, 2.0), (1.013, 1.871)])
def test_the_error_bounds_what_sampling_loses_of_rising_power(measured: Any, every: int, begins: float, ends: float) -> None:
    """Power t^3 between readings: always rising, so that the bound holds. Its integral is t^4 / 4."""
    at = SECONDS[::every]
    energy, _ = measured([PhaseReading("train", begins, ends)], at, power_w=[second**3 for second in at])
    off = abs(energy.phases["train"] - (ends**4 - begins**4) / 4)
    assert off <= energy.error["train"] * (1 + 1e-6) + 1e-4
    assert energy.error["train"] > 0


def test_errors_of_a_phase_that_occurs_twice_add_up(measured: Any) -> None:
    watt = [100 * second for second in SECONDS]
    once, _ = measured([TRAIN], power_w=watt)
    twice, _ = measured([TRAIN, PhaseReading("train", 2.0, 3.0)], power_w=watt)
    assert twice.error["train"] == pytest.approx(2 * once.error["train"])


def test_power_that_was_not_read_for_long_leaves_the_phase_null(measured: Any) -> None:
    power = [None if 1.2 < second < 2.7 else 100.0 for second in SECONDS]
    energy, notes = measured([PhaseReading("train", 0.5, 3.5), PhaseReading("evaluate", 3.6, 3.9), PhaseReading("merge", 2.0, 2.01)], power_w=power)
    assert set(energy.phases) == {"evaluate"}
    assert notes == ["the sampler did not see all of merge, train: their energy is null"]


def test_without_counter_and_power_nothing_is_told(measured: Any) -> None:
    energy, notes = measured([TRAIN])
    assert (energy, notes) == (Energy(), [])


def test_a_slice_of_a_gpu_has_the_whole_one_s_energy_and_a_note(measured: Any) -> None:
    _, notes = measured([TRAIN], facts={"mig": True}, power_w=[100.0] * len(SECONDS))
    assert any("slice" in note for note in notes)


def latency(**fields: Any) -> Latency:
    times = Percentiles(p50=1, p90=1, p99=1)
    return Latency(**{"batch_size": 2, "prompt_tokens": 4, "new_tokens": 5, "ttft_ms": times, "tpot_ms": times, "tokens_per_second": 1.0, "repeats": 3, **fields})


def test_tokens_generated_are_those_of_the_phase_generate_with_the_untimed_repetitions() -> None:
    entries = [latency(), latency(batch_size=8), latency(form="merged"), latency(form="base")]
    assert tokens_generated(entries, untimed_repeats=1) == (2 + 8) * 5 * 4
    assert tokens_generated([latency(form="base")], untimed_repeats=2) == 2 * 5 * 5, "a cell that tunes nothing"
    assert tokens_generated([latency(repeats=None)], 1) is None, "an older record"
    assert tokens_generated([], 1) is None


def test_energy_per_token_is_null_where_energy_or_tokens_are() -> None:
    energy = Energy(phases={"train": 50.0, "generate": 8.0}, source="nvml_counter")
    training = Training(steps=1, tokens=100, samples=4)
    both = with_energy_per_token(energy, training, 16)
    assert (both.joules_per_training_token, both.joules_per_generated_token) == (0.5, 0.5)
    assert both.phases == energy.phases
    nothing = with_energy_per_token(Energy(), training, 16)
    assert (nothing.joules_per_training_token, nothing.joules_per_generated_token) == (None, None)
    no_tokens = with_energy_per_token(energy, training.model_copy(update={"tokens": 0}), None)
    assert (no_tokens.joules_per_training_token, no_tokens.joules_per_generated_token) == (None, None)
