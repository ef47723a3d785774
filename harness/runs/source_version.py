"""Which harness a process runs, so that a run notices when its processes are not of one and the same."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import harness


@functools.cache
def source_version() -> str:
    """The version and a hash of the package's source files, as they were when this process asked first: `0.1.0 (source 5f0c2d9a)`.

    What is installed while a run goes on changes them, and with them records, events and cells that are sent from one process to another.
    """
    root = Path(harness.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return f"{harness.__version__} (source {digest.hexdigest()[:8]})"
