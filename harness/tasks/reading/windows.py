"""Questions over contexts of any length: each context in overlapping windows, the question before each of them.

Source: Devlin et al. 2018, "BERT", and its run_squad.py; transformers' examples/pytorch/question-answering/run_qa.py, whose
`doc_stride` is the number of tokens that neighbouring windows share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported
from harness.tasks.base import TaskContext
from harness.tasks.reading.columns import Answer

if TYPE_CHECKING:
    from harness.tasks.statistics import Array

_QUESTIONS_AT_ONCE = 256  # tokenized together: their ids and offsets are Python lists until packed


@dataclass(frozen=True)
class Window:
    """One question with a stretch of its context, in tokens.

    row: the question's number. inputs: what the model reads (`input_ids`, perhaps `token_type_ids`). offsets: shape (tokens, 2):
    where each token of the context begins and ends in it, in characters; -1 for all other tokens. nowhere: the token that a
    span begins and ends at which is not in this window.
    """

    row: int
    inputs: dict[str, Array]
    offsets: Array
    nowhere: int

    def span(self, answer: Answer | None) -> tuple[int, int]:
        """The tokens that the answer begins and ends with; `nowhere` for an answer that is not wholly in the window, or none."""
        import numpy as np

        inside = np.flatnonzero(self.offsets[:, 0] >= 0)
        if answer is None or not len(inside):
            return self.nowhere, self.nowhere
        starts, ends = self.offsets[inside, 0], self.offsets[inside, 1]
        end = answer.start + len(answer.text)
        if starts[0] > answer.start or ends[-1] < end:
            return self.nowhere, self.nowhere
        first, last = np.searchsorted(starts, answer.start, side="right") - 1, np.searchsorted(ends, end, side="left")
        return int(inside[first]), int(inside[last])


class WindowTokenizer:
    """Questions and contexts -> windows of at most context.max_length tokens. A question that leaves no room for a window of
    its context is cut at its end, and `say` tells the notes how many were.

    Raises Unsupported for a tokenizer that does not know where its tokens stand in the text, and for a max_length within which
    windows could not overlap by `doc_stride` tokens.
    """

    def __init__(self, context: TaskContext, doc_stride: int) -> None:
        self._context, self._tokenizer, self._doc_stride = context, context.tokenizer, doc_stride
        self._cut = self._seen = 0
        if not self._tokenizer.is_fast:
            raise Unsupported("the tokenizer does not tell where its tokens stand in a text, so answers cannot be found in it")
        self._longest_question = context.max_length - self._tokenizer.num_special_tokens_to_add(pair=True) - doc_stride - 1
        if self._longest_question < 1:
            raise Unsupported(f"train.max_length: {context.max_length} has no room for a question and windows that share {doc_stride} tokens (doc_stride)")

    def windows(self, questions: Sequence[str], contexts: Sequence[str]) -> Iterator[Window]:
        """The windows of every question, in order."""
        import numpy as np

        for start in range(0, len(questions), _QUESTIONS_AT_ONCE):
            part = slice(start, start + _QUESTIONS_AT_ONCE)
            encoded = self._tokenizer(
                self._short(questions[part]), list(contexts[part]), truncation="only_second", max_length=self._context.max_length,
                stride=self._doc_stride, return_overflowing_tokens=True, return_offsets_mapping=True, return_attention_mask=False,
            )  # fmt: skip
            for number, row in enumerate(encoded["overflow_to_sample_mapping"]):
                offsets = np.asarray(encoded["offset_mapping"][number], dtype=np.int32)
                offsets[[place != 1 for place in encoded.sequence_ids(number)]] = -1
                yield Window(start + row, self._inputs(encoded, number), offsets, self._nowhere(encoded["input_ids"][number]))

    def say(self, what: str) -> None:
        """Tells the record how many questions were cut, where any was."""
        if self._cut:
            self._context.note(f"{what}: {self._cut} of {self._seen} questions were too long and lost their end")

    def _short(self, questions: Sequence[str]) -> list[str]:
        texts = [question.lstrip() for question in questions]
        offsets = self._tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        most = self._longest_question
        self._seen += len(texts)
        self._cut += sum(len(places) > most for places in offsets)
        return [text if len(places) <= most else text[: places[most - 1][1]] for text, places in zip(texts, offsets, strict=True)]

    def _inputs(self, encoded: Any, number: int) -> dict[str, Array]:
        import numpy as np

        inputs = {"input_ids": np.asarray(encoded["input_ids"][number], dtype=np.int32)}
        if "token_type_ids" in encoded:
            inputs["token_type_ids"] = np.asarray(encoded["token_type_ids"][number], dtype=np.int8)
        return inputs

    def _nowhere(self, ids: list[int]) -> int:
        """The classification token's place, the first where there is none, as in run_qa.py."""
        token = self._tokenizer.cls_token_id
        return ids.index(token) if token in ids else 0
