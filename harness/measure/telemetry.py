"""telemetry.parquet: the sampler's readings of one cell, a row per tick.

Columns: `at` (time.monotonic() seconds), `host_rss` (bytes; the process and its children, pages that they share
counted in each), `nvml_process` and `nvml_device` (bytes on the device: the process tree's, everybody's),
`utilisation_sm` and `utilisation_memory` (percent), `power_w`, `temperature_c`, `energy_j` (the driver's counter), `clock_sm_mhz`, `clock_memory_mhz`, `throttle_reasons`
(NVML's bit mask), `others_bytes` (what processes beside the cell hold), and from the cell's own board `step` (optimizer steps done),
`torch_allocated` and `torch_reserved` (bytes, as of the last step, batch or change of phase); null where there was no reading. After the
cell has ended also `phase`. What the sampler was told and found out
lies beside the columns, as JSON under the key `harness`.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from harness.errors import StorageError
from harness.records.store import opened_aside

COLUMNS: dict[str, str] = {
    "at": "float64",
    "host_rss": "int64",
    "nvml_process": "int64",
    "nvml_device": "int64",
    "utilisation_sm": "int8",
    "utilisation_memory": "int8",
    "power_w": "float32",
    "temperature_c": "int16",
    "energy_j": "float64",
    "clock_sm_mhz": "int32",
    "clock_memory_mhz": "int32",
    "throttle_reasons": "int64",
    "others_bytes": "int64",
    "step": "int64",
    "torch_allocated": "int64",
    "torch_reserved": "int64",
}
PHASE_COLUMN = "phase"
METADATA_KEY = "harness"
ROWS_IN_MEMORY = 6000
NOT_READ = float("nan")


class TelemetryFacts(BaseModel):
    """What holds for all rows: the period, whom it was about, the device's bytes in use before the cell, notes.

    mig: the device is an instance of a divided GPU. own_listed: the driver has listed a process of the cell. others_seen,
    others_before: processes that were not the cell's, at any time and before it began. unlisted_before: bytes that were in
    use then and that no process on the driver's lists holds.
    """

    pid: int
    period_ms: float
    device: str
    baseline_device_bytes: int | None = None
    mig: bool = False
    own_listed: bool = False
    others_seen: int = 0
    others_before: int = 0
    unlisted_before: int | None = None
    notes: list[str] = Field(default_factory=list)


class TelemetryWriter:
    """Rows into a parquet file beside its final place, a block at a time: memory does not grow with the cell's life."""

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        self._arrow = pyarrow
        self._schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()])
        self._file = pyarrow.parquet.ParquetWriter(path, self._schema)
        self._rows = {name: array("d") for name in COLUMNS}

    def append(self, row: dict[str, float | None]) -> None:
        """One row; columns left out or None are null."""
        for name, values in self._rows.items():
            value = row.get(name)
            values.append(NOT_READ if value is None else value)
        if len(self._rows["at"]) >= ROWS_IN_MEMORY:
            self._write_block()

    def close(self, facts: TelemetryFacts) -> None:
        """Writes what is left, the facts and the file's end."""
        self._write_block()
        self._file.add_key_value_metadata({METADATA_KEY: facts.model_dump_json()})
        self._file.close()

    def _write_block(self) -> None:
        import numpy

        columns = []
        for schema_field in self._schema:
            values = numpy.array(self._rows[schema_field.name])
            read = ~numpy.isnan(values)
            columns.append(self._arrow.array(numpy.where(read, values, 0), mask=~read).cast(schema_field.type))
            del self._rows[schema_field.name][:]
        self._file.write_table(self._arrow.Table.from_arrays(columns, schema=self._schema))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; when the block is through, it durably takes its place, else it is removed.

    Raises StorageError that names `path` when the disk refuses.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = opened_aside(path)
        os.close(descriptor)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Telemetry:
    """The rows as float64 arrays by column, NaN where there was no reading, and the facts."""

    columns: dict[str, Any]
    facts: TelemetryFacts

    def within(self, name: str, started: float, ended: float) -> Any:
        """The readings of one column between two points of time.monotonic(), both included; without the gaps."""
        at, values = self.readings(name)
        return values[(at >= started) & (at <= ended)]

    def readings(self, name: str) -> tuple[Any, Any]:
        """When (time.monotonic() seconds) and what was read in one column, rows without a reading left out."""
        import numpy

        read = ~numpy.isnan(self.columns[name])
        return self.columns["at"][read], self.columns[name][read]


def read_telemetry(path: Path) -> Telemetry:
    """Reads a telemetry.parquet; raises OSError or ValueError (pyarrow's own are among them) when it is none."""
    import numpy
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        table = file.read(columns=list(COLUMNS))
        told = (file.metadata.metadata or {}).get(METADATA_KEY.encode())
    if told is None:
        raise ValueError(f"{path} carries no metadata of a sampler")
    columns = {name: numpy.asarray(table[name].to_numpy(), dtype="float64") for name in COLUMNS}
    return Telemetry(columns, TelemetryFacts.model_validate_json(told))


def write_with_phases(path: Path, phases: list[str | None]) -> None:
    """Replaces telemetry.parquet by itself with the column `phase`, one name or None per row; raises StorageError."""
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        table = file.read(columns=list(COLUMNS))
        told = {METADATA_KEY: file.metadata.metadata[METADATA_KEY.encode()]}
    table = table.append_column(PHASE_COLUMN, pyarrow.array(phases, pyarrow.string()))
    with replacing(path) as aside:
        pyarrow.parquet.write_table(table.replace_schema_metadata(told), aside)
