"""File systems of a test's own: as small as it says, or read-only. Skips where none can be mounted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A tmpfs at `folder`, which is made; options: mount's, such as `size=64k`."""
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None or _mount("-t", "tmpfs", "-o", options, "none", folder):
        pytest.skip("needs the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # a sampler that is just ending may still hold a file
        folder.rmdir()


def remount(folder: Path, options: str) -> None:
    """The same file system with other options, its files as they are."""
    assert _mount("-o", f"remount,{options}", folder) == 0


def _mount(*arguments: str | Path) -> int:
    return subprocess.run(["mount", *arguments], check=False).returncode
