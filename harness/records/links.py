"""Symbolic links have no place in a run directory: what is read, written or removed through one lies elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import NotARun

FOLDERS = ("", "cells", "shared", "noise")  # whose entries are opened, written or removed by their names


def refuse_links(run: Path) -> None:
    """Raises NotARun that names the first symbolic link in the run directory or in those of its folders that are written into.

    The directory itself may be reached by one. Links in records/ are told as damaged records instead.
    """
    for name in FOLDERS:
        folder = run / name
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            link = next((entry.path for entry in entries if entry.is_symlink()), None)
        if link is not None:
            raise NotARun(f"{link} is a symbolic link to {os.readlink(link)}: a run directory holds its files itself; remove the link, or put the files there")
