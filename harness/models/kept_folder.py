"""A model folder that was made here, in the cache: complete as it was made, or absent.

    <cache>/<kind>/<name>/            the model's files
    <cache>/<kind>/<name>.seal.json   every file with its bytes and hash
    <cache>/<kind>/.<name>.<pid>/     one on its way: renamed when it is complete
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from harness.records.refusals import disk_refusals_told
from harness.records.sealed import Damaged, StoredFile, check_files, read_sealed, stored_files, write_sealed


def kept_folder(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, every byte of it verified once by each process; made by `make`, which fills a new one, where it is not there or damaged.

    Raises StorageError where the disk refuses, and whatever `make` raises; then nothing of it is left.
    """
    if _is_sound(folder):
        return folder
    with disk_refusals_told("model", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not _is_sound(folder):  # another process may have made it meanwhile
                for left_behind in folder.parent.glob(f".{folder.name}.*"):  # by a process that was killed: the lock is ours
                    shutil.rmtree(left_behind)
                if folder.is_dir():
                    shutil.rmtree(folder)
                _make(folder, make)
    return folder


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        aside.mkdir()
        make(aside)
        write_sealed(_seal(folder), [file.model_dump() for file in stored_files(aside)])
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _seal(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.seal.json")


def _is_sound(folder: Path) -> bool:
    """Whether the folder is there as it was made; says in the log what is wrong with it."""
    if not folder.is_dir():
        return False
    damage = damage_of(folder, folder.stat().st_ctime_ns)
    if damage is not None:
        print(f"{folder} is damaged and is made anew: {damage}", flush=True)
    return damage is None


@functools.cache
def damage_of(folder: Path, changed: int) -> str | None:
    """What is wrong with the folder; looked up once in a process for each time that it was made (`changed`)."""
    try:
        check_files([StoredFile.model_validate(file) for file in read_sealed(_seal(folder))], folder)
    except FileNotFoundError:
        return "its hashes are missing"
    except Damaged as damage:
        return str(damage)
    return None
