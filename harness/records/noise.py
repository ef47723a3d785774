"""noise.json: what came of running the same cells several times, unchanged (A/A), and the floors that this gives.

Lies in a run directory beside records/. `harness noise` writes it; reports of this run, or of another run of the same
suite on the same device, read it. docs/noise.md says what a floor is.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, ValidationError

from harness.errors import DataError
from harness.records.json_file import read_json
from harness.records.parts import Part, Status
from harness.records.schema import Environment
from harness.records.store import write_atomically

NOISE_VERSION: Literal[1] = 1
NOISE = "noise.json"
REPEATS = "noise"  # the folder of the repeats behind the first: <run>/noise/2, 3, ...

NotNegative = Annotated[FiniteFloat, Field(ge=0)]


class Repeated(Part):
    """One number of one cell, measured again and again. A floor of 0: it repeats exactly, here."""

    values: list[FiniteFloat] = Field(min_length=2, description="in the order of the repeats")
    n: int = Field(ge=2, description="repeats that have the number")
    mean: FiniteFloat
    std: NotNegative = Field(description="sample standard deviation")
    floor: NotNegative = Field(description="what two single measurements differ by with 5 % probability or less, nothing having been changed")
    relative_floor: NotNegative | None = Field(description="floor / |mean|; None where the mean is 0")
    protocol: str | None = Field(description="how it was measured; None for a count")


class RepeatedCell(Part):
    """One cell and what its repeats gave. statuses: how each repeat ended, None where it has no record."""

    id: str
    model: str
    quantization: str
    method: str
    task: str
    seed: int
    sweep: dict[str, Any] = Field(default_factory=dict)
    statuses: list[Status | None]
    quantities: dict[str, Repeated] = Field(default_factory=dict, description="by the address that reports use")
    notes: list[str] = Field(default_factory=list)


class Noise(Part):
    """The noise of a suite's cells on one device."""

    schema_version: Literal[1] = NOISE_VERSION
    suite: str
    profile: str | None
    device: str = Field(description="the GPU, or the CPU and its cores")
    repeats: int = Field(ge=2)
    made: datetime
    environment: Environment
    cells: list[RepeatedCell]
    notes: list[str] = Field(default_factory=list)


def write_noise(run: Path, noise: Noise) -> Path:
    """Writes the run's noise.json atomically and returns its path; raises StorageError."""
    path = run / NOISE
    write_atomically(path, noise.model_dump_json(indent=1) + "\n")
    return path


def read_noise(path: Path) -> Noise:
    """The noise in that file; raises DataError that names the file and says what is wrong with it."""
    try:
        found = read_json(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}; harness noise writes it again") from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != NOISE_VERSION:
        raise DataError(f"{path} is not of a version that this harness reads: schema_version {version}, not {NOISE_VERSION}; run harness noise again")
    try:
        return Noise.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path} is not a file of ours: {place}: {first['msg']}") from error
