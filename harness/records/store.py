"""Where records live on disk: <run>/records/<cell id>.json, each written aside and renamed, never half there."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
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

    What a writer that was killed leaves beside it is for `remove_leftovers`. Raises StorageError that names the file when the disk
    is full, read-only or not ours to write.
    """
    aside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, aside = opened_aside(path)
        with os.fdopen(descriptor, "wb") as file:
            file.write(redacted(content).encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
            aside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what writers that were killed have left half-written in that folder; what somebody is writing now stays."""
    for left in folder.glob(".*.tmp"):
        if left.is_file():
            with suppress(OSError), left.open("rb") as file:  # locked by its writer, or not ours: it stays, and is in nobody's way
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


def opened_aside(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, locked for as long as it is open: that tells it from one that a killed writer left.

    Whoever may read other new files of this user may read it, and so what it becomes. Raises OSError.
    """
    while True:
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)  # not mkstemp, whose files are the user's own alone
        with suppress(OSError):  # a file system without locks: then nobody can tell either, and what is left stays
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, aside
        os.close(descriptor)  # taken for left behind before it was locked


def _sync_folder(folder: Path) -> None:
    """Makes a renaming last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system on which folders need no syncing
            raise
    finally:
        os.close(descriptor)


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
