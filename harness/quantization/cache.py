"""Quantized weights, kept on disk between runs: an entry is complete or absent.

    <cache>/quantized/<key>/entry.json   what it is, every file with its bytes and hash, and what it took
    <cache>/quantized/<key>/weights/     what the scheme has written
    <cache>/quantized/.<key>.<pid>/      an entry on its way: renamed when it is complete
    <cache>/quantized/.locks/            who is writing which entry
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.quantization.cache_entry import ENTRY, WEIGHTS, Entry, Subject, Title, check_weights, read_entry
from harness.quantization.cache_locks import Busy, Use, Waiting, use, writing
from harness.records.refusals import disk_refusals_told
from harness.records.schema import CalibrationSeen, QuantizationCost
from harness.records.sealed import Damaged, stored_files


@dataclass(frozen=True)
class Quantized:
    """One entry, verified. weights: the folder that the scheme has filled. notes: what the record of everyone who loads it must
    tell. drawn: parameters of the model that was quantized which no checkpoint has, a new head's: each cell draws its own. used: keeps the entry from being pruned for as long as this lives; None for weights outside of the cache."""

    weights: Path
    calibration: CalibrationSeen | None
    cost: QuantizationCost
    notes: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    used: Use | None = field(default=None, repr=False, compare=False)


class QuantizedCache:
    """The entries below a cache folder. They are found by their key, a hash of all that decides how weights come out."""

    def __init__(self, cache: Path) -> None:
        self.folder = cache / "quantized"

    def find(self, key: str) -> Quantized | None:
        """The entry, every byte of it verified; None where there is none. Raises Damaged where it is not what was written."""
        folder = self.folder / key
        used = use(folder / ENTRY)
        if used is None:
            if folder.is_dir():
                raise Damaged(f"{ENTRY} is missing")
            return None
        entry = read_entry(folder)
        check_weights(entry, folder)
        with contextlib.suppress(OSError):  # a cache that is not ours to write serves as well: only `prune` asks for the time
            os.utime(folder / ENTRY)
        return Quantized(folder / WEIGHTS, entry.calibration, entry.cost, tuple(entry.notes), tuple(entry.drawn), used)

    def made(self, title: Title, subject: Subject, fill: Callable[[Path], Quantized], waiting: Waiting) -> Quantized:
        """The entry, made by `fill` unless it is there: it gets an empty folder and returns what it has put there.

        Another process that makes it is waited for, `waiting` being called meanwhile; a damaged entry is made again.
        Raises StorageError where the disk refuses, and whatever `fill` raises; then nothing of it is left.
        """
        key = subject.key()
        with writing(self.folder, key, waiting):
            try:
                found = self.find(key)
            except Damaged:
                found = None
            if found is not None:
                return found
            with disk_refusals_told("quantized weights", self.folder):
                self.sweep(key)
                self.remove(key)
                return self._make(key, title, subject, fill)

    def _make(self, key: str, title: Title, subject: Subject, fill: Callable[[Path], Quantized]) -> Quantized:
        aside = self.folder / f".{key}.{os.getpid()}"
        try:
            (aside / WEIGHTS).mkdir(parents=True)
            made = fill(aside / WEIGHTS)
            Entry(
                title=title, subject=subject, files=stored_files(aside / WEIGHTS), cost=made.cost.model_copy(update={"here": False}),
                calibration=made.calibration, notes=list(made.notes), drawn=list(made.drawn),
            ).write(aside)  # fmt: skip
            aside.rename(self.folder / key)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return replace(made, weights=self.folder / key / WEIGHTS, used=use(self.folder / key / ENTRY))

    def sweep(self, own: str | None = None) -> int:
        """Removes what writers that died have left behind, and returns how many; own: a key whose lock the caller holds."""
        removed = 0
        for aside in self.folder.glob(".*.*"):
            key = aside.name.split(".")[1]
            with contextlib.suppress(Busy), contextlib.nullcontext() if key == own else writing(self.folder, key):
                shutil.rmtree(aside, ignore_errors=True)
                removed += 1
        return removed

    def remove(self, key: str) -> None:
        """Takes the entry away at once, if there is one, then its files one by one; the caller holds its lock."""
        folder, aside = self.folder / key, self.folder / f".{key}.removed"
        if folder.is_dir():
            folder.rename(aside)
            shutil.rmtree(aside)
