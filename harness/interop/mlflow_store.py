"""MLflow runs in a local SQLite store: one MLflow run per cell, in an experiment named after the suite.

Source: `mlflow.MlflowClient` (create_experiment, create_run, log_batch, set_terminated, search_runs) as MLflow documents it; a batch takes at most
1000 metrics, 100 parameters and 100 tags. `mlflow-skinny` has the client, and with SQLAlchemy and Alembic the store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.columns import Row
from harness.analysis.run import Run
from harness.interop.base import EXPORTS, Export, Exported
from harness.records.history import facts_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_METRICS, MOST_PARAMETERS, LONGEST_VALUE = 1000, 100, 500
IDENTITY = "harness.record"  # the tag by which a cell that is exported again is known


@EXPORTS.register("mlflow")
class MlflowStore(Export):
    """Every cell, those that did not go through as FAILED runs; cells that the store has already are left as they are."""

    packages = ("mlflow", "sqlalchemy", "alembic")
    extra = "mlflow"

    def write(self, run: Run, out: Path) -> Exported:
        """Writes to the SQLite file `out`, which `mlflow ui --backend-store-uri sqlite:///<out>` shows."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at the import; else the client tells its makers of every call
        from mlflow import MlflowClient

        out.parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=f"sqlite:///{out.resolve()}")
        experiment = client.get_experiment_by_name(run.name)
        artifacts = f"{out.resolve()}-artifacts"
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(run.name, artifact_location=artifacts)
        left_out = []
        for row in run.rows:
            if client.search_runs([experiment_id], filter_string=f"tags.`{IDENTITY}` = '{_identity(row)}'", max_results=1):
                left_out.append(f"{row.name()} is there already")
            else:
                _write_run(client, experiment_id, row, run.path.resolve().name)
        return Exported([out], left_out)


def _identity(row: Row) -> str:
    return f"{row.record.cell.id} {row.record.started.isoformat()}"


def _write_run(client: MlflowClient, experiment_id: str, row: Row, name: str) -> None:
    from mlflow.entities import Metric, Param, RunTag

    begun, ended = (int(moment.timestamp() * 1000) for moment in (row.record.started, row.record.finished))
    tags = {IDENTITY: _identity(row), "harness.run": name, "harness.outcome": row.record.outcome.status}
    made = client.create_run(experiment_id, start_time=begun, tags=tags, run_name=row.name())
    key = made.info.run_id
    metrics = [Metric(name, value, ended, 0) for name, value in numbers_of(row).items()]
    parameters = [Param(name, value) for name, value in settings_of(row).items()]
    facts = [RunTag(f"environment.{name}", value) for name, value in facts_of(row.record.environment).items()]
    for some in _batches(metrics, MOST_METRICS):
        client.log_batch(key, metrics=some)
    for some in _batches(parameters, MOST_PARAMETERS):
        client.log_batch(key, params=some)
    for some in _batches(facts, MOST_PARAMETERS):
        client.log_batch(key, tags=some)
    client.set_terminated(key, status="FINISHED" if row.ok else "FAILED", end_time=ended)


def _batches(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    return (values[at : at + most] for at in range(0, len(values), most))


def numbers_of(row: Row) -> dict[str, float]:
    """Every number under a name that MLflow takes: `accuracy:before` is `accuracy/before`, `acc@mmlu` is `acc/on/mmlu`."""
    found = {key: reading.value for key, reading in row.readings.items() if reading.value is not None}
    return {key.replace(":", "/").replace("@", "/on/"): float(value) for key, value in found.items() if isfinite(value)}


def settings_of(row: Row) -> dict[str, str]:
    """The cell's place and its whole configuration, flat: `method.r` -> `8`."""
    cell = row.record.cell
    return {str(name): str(value) for name, value in row.axes.items()} | dict(_flat(cell.config))


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield f"config.{above}{name}", str(value)[:LONGEST_VALUE]
