"""Disks that refuse: what libraries raise then, as one error that says where and why."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import StorageError

REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
LEAST_FREE_BYTES = 2**20  # torch.save does not say why it could not write; a disk with less than this is full


@contextlib.contextmanager
def disk_refusals_told(what: str, place: Path) -> Iterator[None]:
    """Turns what libraries raise when the disk refuses a write into a StorageError that says so. what: was to be written to `place`."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = _refusal(error, place)
        if reason is None:
            raise
        raise StorageError(f"cannot write {what} to {place}: {reason}") from error


def _refusal(error: BaseException | None, place: Path) -> str | None:
    """What the disk said, looked for in the error and its causes."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in REFUSALS:
            return f"{error.strerror} ({error.filename})" if error.filename else str(error.strerror)
        if "No space left on device" in str(error) or "Disk quota exceeded" in str(error):
            return " ".join(str(error).split())
        error = error.__cause__ or error.__context__
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    return "the disk is full" if shutil.disk_usage(existing).free < LEAST_FREE_BYTES else None
