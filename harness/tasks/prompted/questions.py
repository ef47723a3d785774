"""Rows to ask -> questions in tokens that fit the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.errors import DataError, Unsupported
from harness.tasks.base import TaskContext
from harness.tasks.multiple_choice import Question, questions_of
from harness.tasks.prompted.template import Template


@dataclass(frozen=True)
class Asked:
    """One thing to ask: the texts that the template takes, and the answers to choose from."""

    texts: Mapping[str, str]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Asker:
    """Rows -> questions of one template.

    ended: whether the end-of-text token belongs to each answer, so that one that begins like another is not always the likelier.
    Between a decoder's prompt and its answer stands a blank, unless the prompt ends in white space.
    """

    context: TaskContext
    template: Template
    ended: bool = False

    def questions(self, rows: Sequence[Asked], limit: int | None) -> tuple[list[Question], int]:
        """One question per row, and how many were longer than `limit` tokens (None: no limit), their longest answer included.

        Those lose characters from the end of their longest text until they fit. Raises DataError where the rest alone doesn't.
        """
        found = self._tokenized(rows)
        too_long = [index for index, question in enumerate(found) if limit is not None and question.tokens > limit]
        for index in too_long:
            assert limit is not None
            found[index] = self._fitted(rows[index], found[index], limit)
        return found, len(too_long)

    def _fitted(self, row: Asked, question: Question, limit: int) -> Question:
        while question.tokens > limit:
            texts = self.template.shortened(row.texts, (question.tokens - limit) / question.tokens)
            if texts is None:
                raise DataError(f"a prompt without any of its row's texts still takes {question.tokens} tokens with its answer; there is room for {limit}")
            row = Asked(texts, row.answers)
            (question,) = self._tokenized([row])
        return question

    def _tokenized(self, rows: Sequence[Asked]) -> list[Question]:
        prompts = [self.template.filled(row.texts) for row in rows]
        blank = "" if self.context.model.kind == "encoder-decoder" else " "
        answers = [[("" if prompt[-1:].isspace() else blank) + answer for answer in row.answers] for prompt, row in zip(prompts, rows, strict=True)]
        found = questions_of(prompts, answers, self.context)
        end = self.context.tokenizer.eos_token_id
        if not self.ended or end is None:
            return found
        return [replace(question, answers=tuple((*answer, end) for answer in question.answers)) for question in found]


def refuse_alike(question: Question, words: Sequence[str]) -> None:
    """Raises Unsupported where the model's tokenizer cannot tell two of a verbalizer's words apart, or writes one as the beginning of
    another: that one would always be the likelier, whatever the prompt."""
    for first, left in enumerate(question.answers):
        for second, right in enumerate(question.answers):
            if first != second and right[: len(left)] == left:
                what = "the same tokens as of the second" if left == right else "what the second begins with"
                raise Unsupported(f"verbalizer: {words[first]!r} and {words[second]!r}: the model's tokenizer makes of the first {what}; choose other words")
