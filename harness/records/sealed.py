"""What is kept to be used again, with the hashes by which a flipped bit or a missing end is noticed: one JSON file, or a folder's files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.records.parts import Part
from harness.records.store import write_atomically

PART_BYTES = 4 * 2**20


class Damaged(HarnessError):
    """Something kept that is not as it was written; the message says what is wrong with it."""


class StoredFile(Part):
    """One file of a folder. path: below it. digest: SHA-256 over the SHA-256 of its parts of 4 MiB."""

    path: str
    bytes: int
    digest: str


def write_sealed(path: Path, content: Any) -> None:
    """Writes JSON values with their hash; raises StorageError."""
    write_atomically(path, json.dumps({"sha256": _hash(content), "content": content}, indent=1) + "\n")


def read_sealed(path: Path) -> Any:
    """The values that `write_sealed` has written. Raises FileNotFoundError where there is no file, Damaged for any other."""
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise Damaged(f"{path.name} is no JSON: {error}") from error
    if not isinstance(values, dict) or values.keys() != {"sha256", "content"} or values["sha256"] != _hash(values["content"]):
        raise Damaged(f"{path.name} has other content than was written")
    return values["content"]


def stored_files(folder: Path) -> list[StoredFile]:
    """Every file below the folder, read through once."""
    return [StoredFile(path=str(path.relative_to(folder)), bytes=path.stat().st_size, digest=_digest(path)) for path in sorted(_files(folder))]


def check_files(expected: Sequence[StoredFile], folder: Path) -> None:
    """Raises Damaged where the folder's files are not those that were written: names and sizes first, then every byte."""
    for file in expected:
        path = folder / file.path
        if not path.is_file():
            raise Damaged(f"{file.path} is missing")
        if path.stat().st_size != file.bytes:
            raise Damaged(f"{file.path} has {path.stat().st_size:,} bytes instead of {file.bytes:,}")
    further = {str(path.relative_to(folder)) for path in _files(folder)} - {file.path for file in expected}
    if further:
        raise Damaged(f"{min(further)} does not belong to it")
    for file in expected:
        try:
            content = _digest(folder / file.path)
        except OSError as error:
            raise Damaged(f"{file.path} cannot be read: {error.strerror or error}") from error
        if content != file.digest:
            raise Damaged(f"{file.path} has other content than was written")


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if not path.is_dir())


def _digest(path: Path) -> str:
    """SHA-256 over the SHA-256 of every part, taken side by side: one core alone would take as long as loading does."""
    with path.open("rb") as file, ThreadPoolExecutor() as pool:
        parts = pool.map(lambda start: hashlib.sha256(os.pread(file.fileno(), PART_BYTES, start)).digest(), range(0, path.stat().st_size, PART_BYTES))
        return hashlib.sha256(b"".join(parts)).hexdigest()
