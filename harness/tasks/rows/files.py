"""Which files of a folder hold a split: by name, in any of the formats, sharded as the hub does or not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from harness.errors import DataError

SUFFIXES = (".parquet", ".jsonl", ".json", ".csv", ".tsv")

# Other names that files of a split go by: GLUE's own (dev.tsv), and what people write.
ALIASES: dict[str, tuple[str, ...]] = {
    "train": ("training",),
    "validation": ("dev", "val", "valid"),
    "dev": ("validation", "val", "valid"),
    "validation_matched": ("dev_matched",),
    "validation_mismatched": ("dev_mismatched",),
    "test": ("testing",),
    "auxiliary_train": ("aux_train",),
}

_SHARD = re.compile(r"(?P<split>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})")


def data_folder(data: str, steps: Iterable[Iterable[str]]) -> Path:
    """The folder `data`, or the one below it that is named after the data set.

    steps: for each level below `data` the names its folder may have (`rte`); a level that is not there is
    skipped. Case, `-` and `_` don't matter, so SST-2 is sst2. Raises DataError when `data` is no folder.
    """
    folder = Path(os.path.expanduser(data))
    if not os.path.isdir(folder):
        what = "is a file; expected a folder" if os.path.exists(folder) else "no such folder; expected one"
        raise DataError(f"{folder}: {what} with files named after the splits (train.parquet, validation.jsonl, dev.tsv ...)")
    for names in steps:
        known = {_plain(name) for name in names}
        below = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and _plain(entry.name) in known]
        folder = below[0] if below else folder
    return folder


def has_split(folder: Path, split: str) -> bool:
    """Whether any file of that split is there."""
    return bool(_candidates(folder, split))


def split_files(folder: Path, split: str) -> list[Path]:
    """The files of a split in order: one, or all shards. Raises DataError for none, several, or a missing shard."""
    groups = _candidates(folder, split)
    if not groups:
        raise DataError(f"{folder}: no file for the split {split}; {_wanted(folder, split)}")
    if len(groups) > 1:
        names = ", ".join(files[0].name for files in groups.values())
        raise DataError(f"{folder}: several files for the split {split}: {names}; keep one")
    files = next(iter(groups.values()))
    shard = _SHARD.fullmatch(files[0].stem)
    if shard and len(files) != int(shard["count"]):
        raise DataError(f"{folder}: split {split} has {len(files)} of {int(shard['count'])} shards; a download was not finished")
    return files


def missing_split(folder: Path, split: str) -> str:
    """What to say of a split that is not there: which names would do, and what there is."""
    return f"{folder} has no file for the split {split}; {_wanted(folder, split)}"


def _candidates(folder: Path, split: str) -> dict[tuple[str, str], list[Path]]:
    """(name, suffix) -> files, for everything that may be this split."""
    names = {name.lower() for name in (split, *ALIASES.get(split, ()))}
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.iterdir()):
        shard = _SHARD.fullmatch(path.stem)
        name = (shard["split"] if shard else path.stem).lower()
        if name in names and path.suffix.lower() in SUFFIXES and path.is_file():
            groups.setdefault((name + ("-" + shard["count"] if shard else ""), path.suffix.lower()), []).append(path)
    return groups


def _wanted(folder: Path, split: str) -> str:
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir() if not entry.name.startswith("."))
    there = ", ".join(entries[:12]) + (", ..." if len(entries) > 12 else "")
    formats = ", ".join(suffix for suffix in SUFFIXES[1:])
    also = f"; the names {', '.join(ALIASES[split])} are read too" if split in ALIASES else ""
    return f"expected {split}.parquet (or {formats}{also}); the folder holds {there or 'nothing'}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
