"""What an entry of the cache says of itself: entry.json beside the weights, and whether they still are as it says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.records.parts import Part
from harness.records.schema import CalibrationSeen, QuantizationCost
from harness.records.store import write_atomically

LAYOUT = 1  # of an entry; part of every key, so that another layout is another entry
ENTRY = "entry.json"
WEIGHTS = "weights"
PART_BYTES = 4 * 2**20


class DamagedEntry(HarnessError):
    """An entry that is not as it was written; the message says what is wrong with it."""


class Subject(Part):
    """What was quantized, and how: everything that decides how the weights come out, so its hash is the entry's key.

    Texts are canonical JSON of identities (harness/suite/identity.py): content in place of folders.
    """

    layout: int = LAYOUT
    model: str
    scheme: str
    recipe: int
    head: str
    task: str | None
    device: str
    versions: dict[str, str]
    deterministic: bool = False

    def key(self) -> str:
        """Twenty hexadecimal digits."""
        came_later = None if self.deterministic else {"deterministic"}
        return hashlib.sha256(self.model_dump_json(exclude=came_later).encode()).hexdigest()[:20]


class Title(Part):
    """What a person calls the entry: the model's source and commit, the scheme's name, and its fields as they were given."""

    model: str
    revision: str | None
    scheme: str
    fields: dict[str, Any]

    @property
    def calibration(self) -> str:
        """The calibration set in short: `c4 128 x 2048`; empty without calibration."""
        values = self.fields.get("calibration")
        return f"{values['file'] or values['set']} {values['samples']} x {values['length']}" if values else ""


class StoredFile(Part):
    """One file of the weights. path: below their folder. digest: SHA-256 over the SHA-256 of its parts of 4 MiB."""

    path: str
    bytes: int
    digest: str


class Entry(Part):
    """The whole of entry.json."""

    title: Title
    subject: Subject
    files: list[StoredFile]
    cost: QuantizationCost
    calibration: CalibrationSeen | None
    notes: list[str]
    drawn: list[str]

    def write(self, folder: Path) -> None:
        """Writes folder/entry.json; raises StorageError."""
        write_atomically(folder / ENTRY, self.model_dump_json(indent=1) + "\n")


def read_entry(folder: Path) -> Entry:
    """The entry of that folder, its weights not looked at. Raises DamagedEntry, FileNotFoundError where there is none."""
    try:
        return Entry.model_validate_json((folder / ENTRY).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise DamagedEntry(f"{ENTRY}: {'.'.join(map(str, first['loc'])) or 'no JSON'}: {first['msg']}") from error


def stored_files(weights: Path) -> list[StoredFile]:
    """Every file below the folder, read through once."""
    return [
        StoredFile(path=str(path.relative_to(weights)), bytes=path.stat().st_size, digest=_digest(path)) for path in sorted(_files(weights))
    ]


def check_weights(entry: Entry, folder: Path) -> None:
    """Raises DamagedEntry where the weights are not those that were written: names and sizes first, then every byte."""
    weights = folder / WEIGHTS
    for expected in entry.files:
        path = weights / expected.path
        if not path.is_file():
            raise DamagedEntry(f"{expected.path} is missing")
        if path.stat().st_size != expected.bytes:
            raise DamagedEntry(f"{expected.path} has {path.stat().st_size:,} bytes instead of {expected.bytes:,}")
    further = {str(path.relative_to(weights)) for path in _files(weights)} - {expected.path for expected in entry.files}
    if further:
        raise DamagedEntry(f"{min(further)} does not belong to it")
    for expected in entry.files:
        try:
            content = _digest(weights / expected.path)
        except OSError as error:
            raise DamagedEntry(f"{expected.path} cannot be read: {error.strerror or error}") from error
        if content != expected.digest:
            raise DamagedEntry(f"{expected.path} has other content than was written")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if not path.is_dir())


def _digest(path: Path) -> str:
    """SHA-256 over the SHA-256 of every part, taken side by side: one core alone would take as long as loading does."""
    with path.open("rb") as file, ThreadPoolExecutor() as pool:
        parts = pool.map(lambda start: hashlib.sha256(os.pread(file.fileno(), PART_BYTES, start)).digest(), range(0, path.stat().st_size, PART_BYTES))
        return hashlib.sha256(b"".join(parts)).hexdigest()
