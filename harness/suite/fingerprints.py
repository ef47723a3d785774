"""What local files contain, in short: ids made of it are the same on another machine and change with the content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from harness.errors import RequestError

#: Larger files (weights) are known by their size, first and last MiB: hashing them whole would make a plan wait.
WHOLE_FILE_BYTES = 256 * 2**20
_EDGE = 2**20


class Fingerprints:
    """Hashes of files, each read once."""

    def __init__(self) -> None:
        self._files: dict[Path, str] = {}

    def file(self, path: Path) -> str:
        """SHA-256 of the content (over 256 MiB: of size, first and last MiB); raises RequestError if unreadable."""
        if path not in self._files:
            try:
                self._files[path] = _hash(path)
            except OSError as error:
                raise RequestError(f"cannot read {path}: {error.strerror or error}") from error
        return self._files[path]

    def files(self, paths: Iterable[Path]) -> list[tuple[str, str]]:
        """(name, hash) of each, sorted; folders don't count, so that a moved data set is the same."""
        return sorted((path.name, self.file(path)) for path in paths)

    def model(self, folder: Path) -> list[tuple[str, str]]:
        """(name, hash) of the files that from_pretrained may read, sorted: none of subfolders, hidden ones or *.md."""
        return self.files(
            path for path in folder.iterdir()
            if path.is_file() and not path.name.startswith(".") and path.suffix != ".md"
        )  # fmt: skip


def _hash(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= WHOLE_FILE_BYTES:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(f"{size}:".encode())
        digest.update(file.read(_EDGE))
        file.seek(size - _EDGE)
        digest.update(file.read(_EDGE))
        return digest.hexdigest()
