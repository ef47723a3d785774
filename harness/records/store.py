"""Where records live on disk: <run>/records/<cell id>.json, each written aside and renamed, never half there."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.errors import DataError, NotARun, StorageError, shortened
from harness.outside import printable, redacted
from harness.records.json_file import read_text, validated
from harness.records.schema import Record
from harness.records.upgrade import NewerSchema, upgrade


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes `content` (text as UTF-8, without secrets) to `path`: afterwards the file is there whole, or as it was before. Durable (fsync).

    Raises StorageError that names the file when the disk is full, read-only or not ours to write.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(redacted(content).encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\Z", re.ASCII)


@dataclass(frozen=True)
class Damaged:
    """A record file that cannot be read, and why. foreign: not for damage, but because a newer harness has written it."""

    path: Path
    reason: str
    foreign: bool = False


class RecordStore:
    """The records of one run directory, in a folder of it."""

    def __init__(self, run: Path, folder: str = "records") -> None:
        self.folder = run / folder

    def path(self, cell_id: str) -> Path:
        """Where the record of that cell is or would be."""
        return self.folder / f"{cell_id}.json"

    def write(self, record: Record) -> Path:
        """Writes the record atomically and returns its path; raises StorageError."""
        path = self.path(record.cell.id)
        write_atomically(path, record.model_dump_json(indent=1, serialize_as_any=True) + "\n")
        return path

    def read(self, cell_id: str) -> Record | None:
        """The record of that cell; None when there is none or it is damaged (then the cell runs again).

        Raises DataError for one of a newer harness: to run its cell again would overwrite a result.
        """
        path = self.path(cell_id)
        if not path.exists():
            return None
        found = _parse(path)
        if isinstance(found, Record):
            return found
        if found.foreign:
            raise DataError(f"{path}: {found.reason}; update harness, or give another directory with --out")
        return None

    def read_all(self) -> tuple[list[Record], list[Damaged]]:
        """All records sorted by cell id, and the files that could not be read; raises NotARun without any folder."""
        if not self.folder.is_dir():
            raise NotARun(f"{self.folder.parent} is not a run directory: it has no records/ folder")
        records: list[Record] = []
        damaged: list[Damaged] = []
        for found in self._scan():
            (records if isinstance(found, Record) else damaged).append(found)  # type: ignore[arg-type]
        return records, damaged

    def _scan(self) -> Iterator[Record | Damaged]:
        for path in sorted(self.folder.glob("*.json")):
            yield _parse(path)


def _parse(path: Path) -> Record | Damaged:
    try:
        record = validated(Record, read_text(path), upgrade)
    except NewerSchema as error:
        return Damaged(path, str(error), foreign=True)
    except ValidationError as error:
        found = error.errors()
        place = printable(shortened(".".join(str(part) for part in found[0]["loc"])))
        if all(each["type"] == "extra_forbidden" for each in found):
            return Damaged(path, f"a newer harness has written it: {place} is unknown to this one", foreign=True)
        return Damaged(path, printable(f"not a record of ours: {place}: {found[0]['msg']}"))
    except (OSError, ValueError) as error:
        return Damaged(path, printable(f"cannot be read: {error}"))
    if not _ID.match(path.stem):
        return Damaged(path, "its name is no cell's id")
    if record.cell.id != path.stem:  # what belongs to a cell is looked for by its id
        return Damaged(path, f"holds the record of another cell: {shortened(record.cell.id)}")
    return record
