"""What the cache of quantized weights holds, whether it is sound, and what of it goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import StorageError
from harness.quantization.cache import QuantizedCache
from harness.quantization.cache_entry import ENTRY, Entry, check_weights, read_entry
from harness.quantization.cache_locks import Busy, unused, use, writing
from harness.records.sealed import Damaged


@dataclass(frozen=True)
class Kept:
    """One entry as it lies on the disk. entry: None where entry.json cannot be read, and damage says why. used: when a cell last took it."""

    folder: Path
    entry: Entry | None
    damage: str | None
    bytes: int
    used: datetime

    @property
    def key(self) -> str:
        """The name of its folder."""
        return self.folder.name

    def matches(self, model: str | None, scheme: str | None) -> bool:
        """Whether the globs fit: on the model's source or the last part of it, and on the scheme's name. None fits all."""
        if self.entry is None:
            return model is None and scheme is None
        source = self.entry.title.model
        names = (source, source.partition(":")[2], source.rpartition("/")[2])
        return (model is None or any(fnmatchcase(name, model) for name in names)) and (
            scheme is None or fnmatchcase(self.entry.title.scheme, scheme)
        )


def contents(cache: QuantizedCache) -> list[Kept]:
    """Every entry, the one used last first; weights are not read."""
    if not cache.folder.is_dir():
        return []
    found = (_kept(folder) for folder in cache.folder.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    return sorted((kept for kept in found if kept is not None), key=lambda kept: kept.used, reverse=True)


def damage_of(kept: Kept) -> str | None:
    """What is wrong with an entry, every byte of it read; None where nothing is, or where it is gone by now."""
    if kept.entry is None:
        return kept.damage
    used = use(kept.folder / ENTRY)
    if used is None:
        return None
    try:
        check_weights(kept.entry, kept.folder)
    except Damaged as damage:
        return str(damage)
    finally:
        used.release()
    return None


def idle_for(kept: Kept, days: float) -> bool:
    """Whether no cell has taken it for that long."""
    return datetime.now(UTC) - kept.used > timedelta(days=days)


def prune(cache: QuantizedCache, chosen: Iterable[Kept]) -> Iterator[tuple[Kept, str | None]]:
    """Removes the entries one after the other, and says of each why it was left where a process writes or uses it, None where it is gone.

    Raises StorageError where the disk refuses.
    """
    for kept in chosen:
        yield kept, _removed(cache, kept)


def _removed(cache: QuantizedCache, kept: Kept) -> str | None:
    try:
        with writing(cache.folder, kept.key), unused(kept.folder / ENTRY) as free:
            if not free:
                return "a running cell uses it"
            cache.remove(kept.key)
    except Busy as holder:
        return f"{holder} writes it"
    except OSError as error:
        raise StorageError(f"cannot remove {kept.folder}: {error.strerror or error}") from error
    return None


def _kept(folder: Path) -> Kept | None:
    """The entry in that folder; None where another process has just removed it."""
    entry, damage = None, None
    try:
        entry = read_entry(folder)
    except Damaged as error:
        damage = str(error)
    except FileNotFoundError:
        damage = f"{ENTRY} is missing"
    try:
        last = (folder / ENTRY if damage is None else folder).stat().st_mtime
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except FileNotFoundError:
        return None
    return Kept(folder, entry, damage, size, datetime.fromtimestamp(last, UTC))
