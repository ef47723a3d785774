"""Makes the record of a cell from how it was executed, what was measured from outside, and where it ran."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.measure.energy import tokens_generated, with_energy_per_token
from harness.measure.summary import label_phases, summarise
from harness.outside import printable
from harness.records.schema import Environment, Outcome, Record
from harness.runs.attempts import Before
from harness.runs.executors.base import Execution
from harness.suite.cell import Cell


def record_of(execution: Execution, environment: Environment, before: Before) -> Record:
    """The record of an executed cell, whatever its outcome: all that was measured until it ended.

    before: the attempts at it that were no result. Adds the phases to the telemetry file; raises StorageError when the disk
    refuses.
    """
    if execution.telemetry is not None:
        label_phases(execution.telemetry, execution.readings)
    memory, timing, energy, notes = summarise(execution.readings, execution.telemetry, environment.device)
    result = execution.result
    return Record(
        cell=execution.cell.record_part(),
        outcome=execution.outcome.model_copy(update={"retries": before.retries, "earlier": list(before.earlier)}),
        metrics=result.metrics,
        parameters=result.parameters,
        memory=memory,
        timing=timing,
        training=result.training,
        latency=result.latency,
        batch_latency=result.batch_latency,
        energy=with_energy_per_token(energy, result.training, _generated(execution)),
        sizes=result.sizes,
        quantization=result.quantization,
        probe=result.probe,
        data=result.data,
        base=result.base,
        environment=environment,
        started=execution.started,
        finished=execution.finished,
        notes=list(dict.fromkeys(map(printable, [*result.notes, *execution.notes, *notes]))),
    )


def _generated(execution: Execution) -> int | None:
    """Tokens that the phase `generate` generated; None where it did not come to its end."""
    settings = execution.cell.config.measure.latency
    if settings is None or execution.outcome.phase == "generate":
        return None
    return tokens_generated(execution.result.latency, settings.warmup_repeats)


def unsupported_record(cell: Cell, environment: Environment) -> Record:
    """The record of a cell that the plan found to be unsupported here: no process was started for it."""
    now = datetime.now(UTC)
    return Record(
        cell=cell.record_part(),
        outcome=Outcome(status="unsupported", message=cell.unsupported),
        environment=environment,
        started=now,
        finished=now,
    )
