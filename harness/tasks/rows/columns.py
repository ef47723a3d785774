"""What a task expects of a column: its name, its values, and how a value is read from any file format."""

from __future__ import annotations

import ast
import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import nearest


class WrongValue(Exception):
    """A value that a column cannot take; the message says why, the caller says where."""


@dataclass(frozen=True)
class Column:
    """One column. aliases: names that it has in other distributions of the same data (GLUE's own tsv files)."""

    name: str
    aliases: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What a value must be, for messages."""
        raise NotImplementedError

    def parse(self, value: Any) -> Any:
        """The value as the task uses it; `value` may be a string from a text format. Raises WrongValue."""
        raise NotImplementedError

    def find(self, names: Sequence[str]) -> str | None:
        """The first of this column's names that is among `names`."""
        return next((name for name in (self.name, *self.aliases) if name in names), None)


@dataclass(frozen=True)
class Text(Column):
    """A string, the empty one included."""

    @property
    def expected(self) -> str:
        return "a text"

    def parse(self, value: Any) -> str:
        if not isinstance(value, str):
            raise WrongValue(f"expected {self.expected}")
        return readable(value)


@dataclass(frozen=True)
class Label(Column):
    """A class: its index, or its name (as in GLUE's own tsv files). Parsed to the index."""

    classes: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        return "one of " + ", ".join(f"{index} ({name})" for index, name in enumerate(self.classes))

    def parse(self, value: Any) -> int:
        if isinstance(value, str):
            return self._parse_text(value.strip())
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int_or_none(value):
            raise WrongValue(f"expected {self.expected}")
        if value == -1:
            raise WrongValue(f"-1 marks a row without a label, which cannot be used; expected {self.expected}")
        if not 0 <= value < len(self.classes):
            raise WrongValue(f"outside the range; expected {self.expected}")
        return int(value)

    def _parse_text(self, text: str) -> int:
        if text in self.classes:
            return self.classes.index(text)
        try:
            return self.parse(float(text))
        except ValueError:
            guess = nearest(text, self.classes)
            hint = f" (did you mean {guess}?)" if guess else ""
            raise WrongValue(f"not a known class{hint}; expected {self.expected}") from None


@dataclass(frozen=True)
class Score(Column):
    """A number in [low, high]."""

    low: float = 0.0
    high: float = 1.0

    @property
    def expected(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def parse(self, value: Any) -> float:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not self.low <= number <= self.high:
            raise WrongValue(f"expected {self.expected}")
        return number


@dataclass(frozen=True)
class Texts(Column):
    """A list of `length` strings (None: of any number, but not of none); in csv and tsv written as a JSON (or Python) list."""

    length: int | None = 4

    @property
    def expected(self) -> str:
        return "a list of at least one text" if self.length is None else f"a list of {self.length} texts"

    def parse(self, value: Any) -> list[str]:
        items = from_text(value) if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise WrongValue(f"expected {self.expected}")
        if len(items) != self.length if self.length is not None else not items:
            raise WrongValue(f"a list of {len(items)}; expected {self.expected}")
        return [readable(item) for item in items]


@dataclass(frozen=True)
class Whole(Column):
    """A whole number, at least 0: where something stands in a text."""

    @property
    def expected(self) -> str:
        return "a whole number, 0 or more"

    def parse(self, value: Any) -> int:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not number >= 0 or number != int_or_none(number):
            raise WrongValue(f"expected {self.expected}")
        return int(number)


@dataclass(frozen=True)
class Place(Column):
    """Where a row stands: whole numbers by name, `{"paragraph": 0, "question": 1}`; in csv and tsv written as such an object.
    Parsed to the numbers of `keys`, in their order; rows of one question have the same."""

    keys: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        return "an object with the whole numbers " + ", ".join(self.keys)

    def parse(self, value: Any) -> tuple[int, ...]:
        given = from_text(value) if isinstance(value, str) else value
        named = given if isinstance(given, dict) else {}
        numbers = [number for key in self.keys if isinstance(number := named.get(key), int) and not isinstance(number, bool)]
        if len(numbers) < len(self.keys):
            raise WrongValue(f"expected {self.expected}")
        return tuple(numbers)


def readable(text: str) -> str:
    """The text; raises WrongValue for one with half a character (a lone surrogate, `\\ud83d` in JSON), which no tokenizer reads."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise WrongValue(f"character {error.start + 1} is no character but half of one, a lone surrogate; expected valid Unicode") from None
    return text


def int_or_none(value: float) -> int | None:
    """The integer equal to `value`, None where there is none (fractions, NaN, infinities)."""
    return int(value) if math.isfinite(value) and value == int(value) else None


def from_text(text: str) -> Any:
    """The list or object that the text is: JSON, or as pandas writes one into csv, a Python literal; None where it is neither."""
    for parse in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return parse(text)
    return None
