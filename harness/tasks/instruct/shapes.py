"""The shapes of files of instructions: which columns, how rows become dialogues, and which shape a local file has."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeAlias

from harness.errors import DataError, nearest
from harness.tasks.instruct.columns import OptionalText, OptionalWhole, Transcript
from harness.tasks.instruct.dialogues import Dialogue, Exchange
from harness.tasks.instruct.templates import TemplateName
from harness.tasks.instruct.trees import ROLES, tree_dialogues
from harness.tasks.rows.columns import Column, Label, Text
from harness.tasks.rows.files import SUFFIXES
from harness.tasks.rows.readers import Request, read_columns
from harness.tasks.rows.source import Rows, Source

Dialogues: TypeAlias = Callable[[Rows], Sequence[Dialogue]]


@dataclass(frozen=True)
class Shape:
    """columns: those that a file must have. optional: those that it may have. template: how its texts are usually laid out.
    dialogues: its rows as dialogues."""

    name: str
    columns: tuple[Column, ...]
    template: TemplateName
    dialogues: Dialogues
    optional: tuple[Column, ...] = ()

    def fits(self, names: Sequence[str]) -> bool:
        """Whether a file with these columns has it."""
        return all(column.find(names) is not None for column in self.columns)

    def present(self, names: Sequence[str]) -> tuple[Column, ...]:
        """The columns to read of a file with these."""
        return (*self.columns, *(column for column in self.optional if column.find(names) is not None))

    def __str__(self) -> str:
        optional = "".join(f", perhaps {column.name}" for column in self.optional)
        return f"{self.name} ({', '.join(column.name for column in self.columns)}{optional})"


def _alpaca(rows: Rows) -> list[list[Exchange]]:
    given = rows.columns.get("input", [""] * len(rows))
    return [[Exchange(*texts)] for texts in zip(rows["instruction"], rows["output"], given, strict=True)]


def _flan(rows: Rows) -> list[list[Exchange]]:
    return [[Exchange(*texts)] for texts in zip(rows["inputs"], rows["targets"], strict=True)]


def _transcripts(rows: Rows) -> list[list[Exchange]]:
    return rows["text"]


ALPACA = Shape("Alpaca", (Text("instruction"), Text("output")), "alpaca", _alpaca, optional=(OptionalText("input"),))
FLAN = Shape("FLAN", (Text("inputs", aliases=("prompt",)), Text("targets", aliases=("completion",))), "plain", _flan)
GUANACO = Shape("Guanaco", (Transcript("text"),), "guanaco", _transcripts)
_MESSAGE = (Text("message_id"), OptionalText("parent_id"), Text("text"), Label("role", classes=ROLES))


def oasst(lang: str | None = None) -> Shape:
    """OpenAssistant's message trees, those of one language or all."""
    return Shape("OASST", _MESSAGE, "guanaco", partial(tree_dialogues, lang=lang), optional=(OptionalWhole("rank"), OptionalText("lang")))


SHAPES = (oasst(), ALPACA, FLAN, GUANACO)  # Stanford's own rows have a column `text` as well, so Guanaco's is the last to be asked


def shape_of(path: Path) -> Shape:
    """The shape that a local file has by its columns; raises DataError that says what would be right."""
    names = column_names(path)
    for shape in SHAPES:
        if shape.fits(names):
            return shape
    wanted = {column.name for shape in SHAPES for column in shape.columns}
    guesses = [f"{guess} for {name}" for name in names if name not in wanted and (guess := nearest(name, wanted))]
    hint = f" (did you mean {', '.join(guesses)}?)" if guesses else ""
    known = "; ".join(str(shape) for shape in SHAPES)
    raise DataError(f"{path}: no known shape of instructions; it has the columns {', '.join(names) or 'none'}{hint}; expected those of one of {known}")


def column_names(path: Path) -> tuple[str, ...]:
    """The columns of a file, those of its first row where rows name their own; raises DataError."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: files of this kind are not read; expected one of {', '.join(SUFFIXES)}")
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _column_names(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _column_names(path: Path, changed_ns: int, size: int) -> tuple[str, ...]:
    """A JSON array is parsed whole to see its first row: once per state of the file, not at every question of the plan."""
    seen: list[str] = []

    def look(names: list[str]) -> list[str]:
        seen.extend(names)
        return names

    read_columns(path, Request(look, limit=1))
    return tuple(seen)


@dataclass(frozen=True)
class DialogueSource(Source):
    """A source of instructions, whose `data` may also be a single file, which is then the training split.

    shape: of its rows. split: the training split's name.
    """

    shape: Shape = FLAN
    split: str = "train"

    def files(self, split: str) -> list[Path]:
        """See Source; a file given by its own name is the split."""
        path = self._one_file()
        return super().files(split) if path is None else [path] if split == self.split else []

    def missing(self, split: str) -> str | None:
        """See Source."""
        path = self._one_file()
        if path is None:
            return super().missing(split)
        return None if split == self.split else f"{path} is the split {self.split} alone"

    def _one_file(self) -> Path | None:
        path = Path(os.path.expanduser(self.data))
        return path if self.data not in ("hub", "micro") and os.path.isfile(path) else None
