"""Dialogues in tokens: rows to train on whose loss is on every reply, on the last alone, or on everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.tasks.base import IGNORED_LABEL
from harness.tasks.instruct.templates import Piece, up_to_last
from harness.tasks.responses import ResponseTokenizer


class DialogueTokenizer(ResponseTokenizer):
    """Pieces of dialogues -> rows. What does not fit is counted, and `say` tells the notes."""

    _left_out = 0

    def dialogues(self, dialogues: Sequence[Sequence[Piece]], last_alone: bool) -> list[dict[str, Any]]:
        """One row per dialogue; the loss is on every reply and the end-of-text token after it, or on the last one's.

        An encoder-decoder writes one text only: its decoder gets the last reply, its encoder everything before it.
        """
        if last_alone or self._two_texts:
            dialogues = [[up_to_last(parts)] for parts in dialogues]
        rows = self.rows([parts[0].prompt for parts in dialogues], [parts[0].response for parts in dialogues])
        for row, parts in zip(rows, dialogues, strict=True):
            self._go_on(row, parts[1:])
        return rows

    def say(self, what: str) -> None:
        """See ResponseTokenizer."""
        super().say(what)
        if self._left_out:
            self._context.note(f"{what}: {self._left_out} further exchanges of dialogues did not fit into train.max_length and were left out")

    def _go_on(self, row: dict[str, Any], further: Sequence[Piece]) -> None:
        """Adds exchanges to the first one's row as long as they fit whole: half of a reply teaches to break off."""
        end = self._tokenizer.eos_token_id
        for number, piece in enumerate(further):
            prompt, response = self._plain_ids([piece.prompt])[0], self._response_ids([piece.response])[0]
            ended = end is None or row["input_ids"][-1] == end
            if not ended or len(row["input_ids"]) + len(prompt) + len(response) > self._context.max_length:
                self._left_out += len(further) - number
                return
            row["input_ids"] = [*row["input_ids"], *prompt, *response]
            row["labels"] = [*row["labels"], *[IGNORED_LABEL] * len(prompt), *response]
