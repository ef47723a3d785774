"""A prompt's text with the row's own texts in it: `cola sentence: {sentence}`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from harness.errors import nearest


class BadTemplate(ValueError):
    """A template that cannot be filled; the message says why, the caller says where."""


@dataclass(frozen=True)
class Template:
    """A text with a row's columns in braces; a brace itself is written twice."""

    text: str

    def check(self, columns: Sequence[str]) -> None:
        """Raises BadTemplate unless it asks for at least one of these columns, and for nothing else."""
        try:
            names = list(self.placeholders())
        except ValueError as error:
            raise BadTemplate(f"{error}; write a column as {{{columns[0]}}} and a brace itself twice") from error
        if not names:
            raise BadTemplate(f"holds no column, so that all rows would ask the same; there are {_braced(columns)}")
        unknown = [name for name in names if name not in columns]
        if unknown:
            guess = nearest(unknown[0], columns)
            hint = f"; did you mean {{{guess}}}?" if guess else ""
            raise BadTemplate(f"no column {{{unknown[0]}}}; there are {_braced(columns)}{hint}")

    def placeholders(self) -> Iterator[str]:
        """The columns asked for, in their order; raises ValueError for braces without a partner."""
        for _, name, style, conversion in Formatter().parse(self.text):
            if name is not None:
                yield name + (f"!{conversion}" if conversion else "") + (f":{style}" if style else "")

    def filled(self, texts: Mapping[str, str]) -> str:
        """The prompt: each placeholder replaced by its text, character by character."""
        return "".join(literal + (texts[name] if name is not None else "") for literal, name, _, _ in Formatter().parse(self.text))

    def shortened(self, texts: Mapping[str, str], share: float) -> dict[str, str] | None:
        """The texts with that share of the prompt's characters taken from the end of the longest one; None where nothing is left to take."""
        asked = set(self.placeholders())
        longest = max(asked, key=lambda name: len(texts[name]))
        if not texts[longest]:
            return None
        lost = max(1, math.ceil(share * len(self.filled(texts))))
        return {**texts, longest: texts[longest][: max(0, len(texts[longest]) - lost)]}


def _braced(columns: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in columns)
