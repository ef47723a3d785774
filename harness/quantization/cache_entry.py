"""What an entry of the cache says of itself: entry.json beside the weights, and whether they still are as it says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.records.parts import Part
from harness.records.schema import CalibrationSeen, QuantizationCost
from harness.records.sealed import Damaged, StoredFile, check_files
from harness.records.store import write_atomically

LAYOUT = 1  # of an entry; part of every key, so that another layout is another entry
ENTRY = "entry.json"
WEIGHTS = "weights"

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
    """The entry of that folder, its weights not looked at. Raises Damaged, FileNotFoundError where there is none."""
    try:
        return Entry.model_validate_json((folder / ENTRY).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise Damaged(f"{ENTRY}: {'.'.join(map(str, first['loc'])) or 'no JSON'}: {first['msg']}") from error


def check_weights(entry: Entry, folder: Path) -> None:
    """Raises Damaged where the weights are not those that were written, to the last byte."""
    check_files(entry.files, folder / WEIGHTS)
