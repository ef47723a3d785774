"""A data set by name and where it comes from: `hub`, `micro` or a folder; its splits as checked rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import DataError, nearest
from harness.models.hub import patiently
from harness.tasks.rows.columns import Column, WrongValue
from harness.tasks.rows.files import data_folder, has_split, missing_split, split_files
from harness.tasks.rows.readers import Request, read_columns


@dataclass(frozen=True)
class DataSet:
    """A data set as the hub knows it.

    hub, config: what datasets.load_dataset takes. columns: those that the task needs. folders: for each level
    below a local folder the names that lead to this data set (optional levels). micro: name of the micro data,
    None where there is none. headerless_tsv: columns of the original tsv where that has no header line. hub_files: by split,
    the file or files of the hub data set that are read, in place of all that `config` has.
    """

    name: str
    hub: str
    config: str
    columns: tuple[Column, ...]
    folders: tuple[tuple[str, ...], ...] = ()
    micro: str | None = None
    headerless_tsv: tuple[str, ...] = ()
    hub_files: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Rows:
    """Checked rows by column. place: where they came from, for messages. revision: the commit of a hub data set."""

    columns: dict[str, list[Any]]
    place: str
    revision: str | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, column: str) -> list[Any]:
        return self.columns[column]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Row by row, as dicts."""
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, values, strict=True))

    def take(self, indices: Sequence[int]) -> Rows:
        """The rows at these indices, in this order."""
        return replace(self, columns={name: [values[index] for index in indices] for name, values in self.columns.items()})

    def first(self, count: int | None) -> Rows:
        """The first `count` rows; all for None."""
        return self if count is None else self.take(range(min(count, len(self))))


def draw(total: int, count: int | None, seed: int) -> list[int]:
    """`count` of range(total) drawn by the seed without replacement, ascending; all for None or too many."""
    if count is None or count >= total:
        return list(range(total))
    import numpy as np

    return sorted(np.random.default_rng(seed).choice(total, size=count, replace=False).tolist())


@dataclass(frozen=True)
class Source:
    """A data set at a place. data: `hub`, `micro` or a folder. revision: of the hub data set."""

    dataset: DataSet
    data: str
    revision: str | None = None

    def folder(self) -> Path | None:
        """The local folder; None for the hub. Raises DataError where there is none."""
        if self.data == "hub":
            return None
        if self.data != "micro":
            return data_folder(self.data, self.dataset.folders)
        if self.dataset.micro is None:
            raise DataError(f"{self.dataset.name}: there is no micro data for it; give `data: hub` or a folder")
        from harness.micro import data_path

        return data_folder(str(data_path(self.dataset.micro)), ())

    def missing(self, split: str) -> str | None:
        """What to say when a local folder has no such split; None when it has, and for the hub."""
        folder = self.folder()
        return None if folder is None or has_split(folder, split) else missing_split(folder, split)

    def files(self, split: str) -> list[Path]:
        """The local files of a split; none for the hub. Raises DataError."""
        folder = self.folder()
        return [] if folder is None else split_files(folder, split)

    def check(self, split: str) -> None:
        """Raises DataError for local files without the columns or a first row of the right types; reads no more."""
        files = self.files(split)
        counts = [len(self._read(path, limit=1)) for path in files]
        if files and not sum(counts):
            raise self._empty(split, str(files[0]))

    def load(self, split: str) -> Rows:
        """All rows of a split. Raises DataError that names the file, the row and the column."""
        files = self.files(split)
        parts = [self._read(path) for path in files] if files else [self._download(split)]
        columns = {name: [value for part in parts for value in part[name]] for name in parts[0].columns}
        rows = Rows(columns, parts[0].place if len(parts) == 1 else f"{files[0]} and {len(files) - 1} more", parts[0].revision)
        if not len(rows):
            raise self._empty(split, rows.place)
        return rows

    def _read(self, path: Path, limit: int | None = None) -> Rows:
        request = Request(lambda names: self._choose(names, str(path)), limit, self.dataset.headerless_tsv)
        raw = read_columns(path, request) or [[] for _ in self.dataset.columns]
        return self._parsed(raw, str(path))

    def _download(self, split: str) -> Rows:
        import datasets
        from datasets.exceptions import DatasetsError

        dataset = self.dataset
        place = f"hub data set {dataset.hub} ({dataset.config}, split {split})"
        chosen_files = {split: dataset.hub_files[split]} if split in dataset.hub_files else None
        config = dataset.config if chosen_files is None else None
        try:
            loaded = patiently(
                f"the data set {dataset.hub}",
                lambda: datasets.load_dataset(dataset.hub, config, data_files=chosen_files, split=split, revision=self.revision),
            )
        except (OSError, ValueError, RuntimeError, DatasetsError) as error:  # RuntimeError: a data set that is a script
            raise DataError(f"{place}: cannot be loaded: {error}; check the network, or give `data:` a folder or `micro`") from error
        chosen = self._choose(loaded.column_names, place)
        columns = loaded.select_columns(chosen).to_dict()
        return replace(self._parsed([columns[name] for name in chosen], place), revision=_commit(loaded.cache_files))

    def _choose(self, names: list[str], place: str) -> list[str]:
        """The file's own names of the columns needed; raises DataError for all that are missing."""
        found = [(column, column.find(names)) for column in self.dataset.columns]
        missing = [column.name for column, name in found if name is None]
        if missing:
            guesses = [guess for name in missing if (guess := nearest(name, names))]
            hint = f"; did you mean {', '.join(guesses)}?" if guesses else ""
            raise DataError(f"{place}: no column {', '.join(missing)} for {self.dataset.name}; it has {', '.join(names)}{hint}")
        chosen = [name for _, name in found if name is not None]
        twice = [name for name in chosen if names.count(name) > 1]
        if twice:
            raise DataError(f"{place}: the column {twice[0]} is there twice; {self.dataset.name} needs to know which one is meant")
        return chosen

    def _parsed(self, raw: list[list[Any]], place: str) -> Rows:
        pairs = zip(self.dataset.columns, raw, strict=True)
        return Rows({column.name: _parse_all(column, values, place) for column, values in pairs}, place)

    def _empty(self, split: str, place: str) -> DataError:
        return DataError(f"{place}: split {split} of {self.dataset.name} has no rows; expected at least one")


def _commit(cache_files: Sequence[Mapping[str, str]]) -> str | None:
    """The commit of a hub data set, which `datasets` names the folder after that holds it; None where it does not."""
    folders = [part for file in cache_files[:1] for part in Path(file["filename"]).parts]
    return next((part for part in reversed(folders) if re.fullmatch(r"[0-9a-f]{40}", part)), None)


def _parse_all(column: Column, values: list[Any], place: str) -> list[Any]:
    parsed = []
    for number, value in enumerate(values, 1):
        try:
            parsed.append(column.parse(value))
        except WrongValue as error:
            shown = "nothing" if value is None else repr(value)
            shown = shown if len(shown) <= 80 else shown[:77] + "..."
            raise DataError(f"{place}: row {number}, column {column.name}: {error}; got {shown}") from None
    return parsed
