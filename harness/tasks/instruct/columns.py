"""Columns that files of instructions have and benchmarks do not: values that may be missing, and dialogues in one text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from harness.tasks.instruct.dialogues import Exchange
from harness.tasks.rows.columns import Text, Whole, WrongValue

HUMAN, ASSISTANT = "### Human:", "### Assistant:"
_SPEAKER = re.compile(f"({re.escape(HUMAN)}|{re.escape(ASSISTANT)})")


def _is_nothing(value: Any) -> bool:
    """Null, an empty field, or the NaN that pandas writes for null."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


@dataclass(frozen=True)
class OptionalText(Text):
    """A string, or nothing, which becomes the empty one."""

    @property
    def expected(self) -> str:
        return "a text or nothing"

    def parse(self, value: Any) -> str:
        return "" if _is_nothing(value) else super().parse(value)


@dataclass(frozen=True)
class OptionalWhole(Whole):
    """A whole number from 0, or nothing."""

    @property
    def expected(self) -> str:
        return f"{super().expected}, or nothing"

    def parse(self, value: Any) -> int | None:  # type: ignore[override]
        return None if _is_nothing(value) else super().parse(value)


@dataclass(frozen=True)
class Transcript(Text):
    """A dialogue in one text, `### Human: ...### Assistant: ...`, in turns, as timdettmers/openassistant-guanaco has them.

    Parsed to its exchanges. Turns of one speaker in a row are one, on lines of their own; a prompt at the end that nobody
    answers is left out.
    """

    @property
    def expected(self) -> str:
        return f"a text that begins with {HUMAN!r} and answers with {ASSISTANT!r}"

    def parse(self, value: Any) -> list[Exchange]:  # type: ignore[override]
        before, *parts = _SPEAKER.split(super().parse(value))
        if before.strip() or not parts or parts[0] != HUMAN:
            raise WrongValue(f"expected {self.expected}")
        turns: list[list[str]] = []
        for speaker, text in zip(parts[::2], parts[1::2], strict=True):
            if turns and turns[-1][0] == speaker:
                turns[-1][1] += f"\n{text.strip()}"
            else:
                turns.append([speaker, text.strip()])
        texts = [text for _, text in turns]
        return [Exchange(prompt, reply) for prompt, reply in zip(texts[::2], texts[1::2], strict=False)]
