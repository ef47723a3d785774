"""The column of SQuAD's answers: texts, and where each begins in the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.errors import DataError
from harness.tasks.rows.columns import Column, WrongValue, from_text
from harness.tasks.rows.source import Rows


class Answer(NamedTuple):
    """start: of the text within the context, in characters."""

    text: str
    start: int


@dataclass(frozen=True)
class Answers(Column):
    """`{"text": [...], "answer_start": [...]}` as the hub has it, or SQuAD's own list of `{"text": ..., "answer_start": ...}`.

    least: fewest answers that a row may have; 0 where questions may have none.
    """

    least: int = 1

    @property
    def expected(self) -> str:
        return f'{{"text": [...], "answer_start": [...]}}, {"at least one of each" if self.least else "perhaps empty"}'

    def parse(self, value: Any) -> list[Answer]:
        given = from_text(value) if isinstance(value, str) else value
        if isinstance(given, dict):
            texts, starts = given.get("text"), given.get("answer_start")
        elif isinstance(given, list) and all(isinstance(each, dict) for each in given):
            texts, starts = [each.get("text") for each in given], [each.get("answer_start") for each in given]
        else:
            raise WrongValue(f"expected {self.expected}")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts) or len(texts) < self.least:
            raise WrongValue(f"expected {self.expected}")
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise WrongValue(f"an answer that is empty or no text; expected {self.expected}")
        if not all(isinstance(start, int) and not isinstance(start, bool) and start >= 0 for start in starts):
            raise WrongValue(f"an answer_start that is no whole number from 0; expected {self.expected}")
        return [Answer(*pair) for pair in zip(texts, starts, strict=True)]


def check_starts(rows: Rows) -> None:
    """Raises DataError for an answer that does not stand where it says: a span trained on would be another text."""
    for number, (context, answers) in enumerate(zip(rows["context"], rows["answers"], strict=True), 1):
        for answer in answers:
            _check_start(answer, context, f"{rows.place}: row {number}, column answers")


def _check_start(answer: Answer, context: Sequence[str], place: str) -> None:
    there = context[answer.start : answer.start + len(answer.text)]
    if there == answer.text:
        return
    found = str(context).find(answer.text)
    hint = f"the text first stands at {found}" if found >= 0 else "the context does not hold the text at all"
    raise DataError(f"{place}: answer_start {answer.start} is where {there[:40]!r} stands and not the answer {answer.text[:40]!r}; {hint}")
