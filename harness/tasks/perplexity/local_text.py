"""Text of the person's own: one file, or a folder with a file per split, .txt among their formats."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError
from harness.tasks.rows.files import SUFFIXES, has_split
from harness.tasks.rows.source import Source

_FORMATS = (".txt", *SUFFIXES)


@dataclass(frozen=True)
class LocalText(Source):
    """A Source whose `data` may be a single file, which is then the split `of_file`."""

    of_file: str = "test"

    def path(self) -> Path:
        """The file or folder. Raises DataError for none, and for `hub`."""
        if self.data == "hub":
            raise DataError("text: give `data:` a file (.txt, .jsonl ...) or a folder with test.txt (or .jsonl ...); it has no data set on the hub")
        path = Path(os.path.expanduser(self.data))
        if self.data != "micro" and os.path.isfile(path):
            return path
        folder = super().folder()
        assert folder is not None, "hub alone has none"
        return folder

    def missing(self, split: str) -> str | None:
        """See Source."""
        path = self.path()
        if path.is_file():
            return None if split == self.of_file else f"{path} is the split {self.of_file}; give `data:` a folder that has {self.of_file}.txt and {split}.txt"
        return None if (path / f"{split}.txt").is_file() else super().missing(split)

    def files(self, split: str) -> list[Path]:
        """The split's files. Raises DataError."""
        if reason := self.missing(split):
            raise DataError(reason)
        path = self.path()
        if path.is_file():
            if path.suffix.lower() not in _FORMATS:
                raise DataError(f"{path}: a text is read from {', '.join(_FORMATS)}")
            return [path]
        text = path / f"{split}.txt"
        if not text.is_file():
            return super().files(split)
        if has_split(path, split):
            raise DataError(f"{path}: several files for the split {split}, {text.name} among them; keep one")
        return [text]
