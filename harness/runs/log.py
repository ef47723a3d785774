"""A cell's log.txt: all that its processes print, libraries' words included, kept without secrets.

While the cell runs, its output goes straight to the file, which only its owner can read: a pipe in between would lose the last words of a
process that dies. When its processes have ended, secrets in it are written over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.outside import REDACTED, redacted

LOG = "log.txt"
ONLY_OWNER = 0o600
BLOCK_BYTES = 2**24


def open_log(folder: Path) -> int:
    """A file descriptor that appends to the log in that folder."""
    return os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, ONLY_OWNER)


def redact_log(folder: Path) -> str | None:
    """Replaces a log with secrets in it by one without; returns what the record should note of that, None where there was nothing to do.

    Where the disk has no room for the clean one, the log is removed: this never raises for want of space.
    """
    path, clean = folder / LOG, folder / f".{LOG}.tmp"
    if not path.is_file() or all(told == block for block, told in _blocks(path)):
        return None
    try:
        with open(os.open(clean, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, ONLY_OWNER), "wb") as without:
            for _, told in _blocks(path):
                without.write(told)
        os.replace(clean, path)
    except OSError as error:
        path.unlink()
        clean.unlink(missing_ok=True)
        return f"{LOG} held a secret and was removed, because a clean one could not be written: {error.strerror or error}"
    return f"a secret was in {LOG} and is {REDACTED} there"


def _blocks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The file in blocks of whole lines, so that no secret is cut in two; each with itself redacted."""
    with path.open("rb") as log:
        while block := log.read(BLOCK_BYTES) + log.readline():
            yield block, redacted(block)
