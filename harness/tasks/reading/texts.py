"""Questions on a context as text, for models that write the answer.

Source of an encoder-decoder's form: Raffel et al. 2019, "T5", app. D (`question: ... context: ...`). A decoder is asked at the end of
the text, where it goes on, so that a context which is too long can lose its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.tasks.base import TaskContext
from harness.tasks.reading.answers import normalised_answer
from harness.tasks.responses import Lengths, ResponseTokenizer

UNANSWERABLE = "unanswerable"


class ReadingTokenizer(ResponseTokenizer):
    """Questions, contexts and answers -> prompts and rows."""

    def __init__(self, context: TaskContext) -> None:
        self._completes = context.model.kind == "decoder"
        super().__init__(context, Lengths(keep="end" if self._completes else "beginning"))

    def asked(self, questions: Sequence[str], contexts: Sequence[str]) -> list[str]:
        """The prompts as text."""
        form = "context: {1}\nquestion: {0}\nanswer:" if self._completes else "question: {0} context: {1}"
        return [form.format(*pair) for pair in zip(questions, contexts, strict=True)]

    def answered(self, answers: Sequence[str | None]) -> list[str]:
        """The answers as text; None: the question has none."""
        return [(" " if self._completes else "") + (answer or UNANSWERABLE) for answer in answers]


def written_answer(text: str, may_be_unanswerable: bool) -> str:
    """The answer in what a model has written; empty where it says that there is none."""
    answer = text.strip()
    return "" if may_be_unanswerable and normalised_answer(answer) == UNANSWERABLE else answer
