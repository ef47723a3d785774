"""A prompt and the response to it in tokens: rows to train on, whose loss is on the response alone, and prompts to go on from.

Prompt and response are tokenized apart and laid end to end, so that a model is asked at evaluation in the very tokens that it
was trained on. Source of the recipe: ChatGLM3's finetune_demo, and Taori et al. 2023 (Alpaca), train.py: labels -100 on the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import Unsupported
from harness.tasks.base import IGNORED_LABEL, TaskContext
from harness.tasks.batches import first_token


@dataclass(frozen=True)
class Lengths:
    """Most tokens of a prompt and of a response; None: whatever the context leaves.

    keep: which end of a prompt stays where it is cut: `end` (a question comes last) or `beginning`.
    """

    prompt: int | None = None
    response: int | None = None
    keep: str = "end"


class ResponseTokenizer:
    """Prompts and responses -> rows. Whatever had to be cut is counted, and `say` tells the notes.

    Decoders: the tokenizer's own beginning, the prompt, the response, the end-of-text token. Encoder-decoders: the prompt with
    the tokenizer's own special tokens is the encoder's, the response the labels. ending: a text that every prompt ends with,
    tokenized by itself. Neither special tokens nor the ending are ever cut off.
    shortened: whether a prompt was cut further than the task's own length asks, because the model had no more room.

    Raises Unsupported for a tokenizer that writes a text otherwise where it adds its special tokens.
    """

    def __init__(self, context: TaskContext, lengths: Lengths, ending: str = "") -> None:
        self._context, self._lengths = context, lengths
        self._tokenizer = context.tokenizer
        self._two_texts = context.model.kind == "encoder-decoder"
        self._before, after = self._special_tokens()
        self._after = [*self._plain_ids([ending])[0], *after] if ending else after
        self._cut = {"prompts": 0, "responses": 0}
        self._seen = 0
        self.shortened = False

    def rows(self, prompts: Sequence[str], responses: Sequence[str]) -> list[dict[str, Any]]:
        """One row to train on per pair, at most context.max_length tokens in all: `input_ids` and `labels` of one length for
        a decoder, of two for an encoder-decoder. A response gets its room first, the prompt what is left.

        Raises Unsupported where max_length has no room for a single token of both.
        """
        pairs = zip(self._plain_ids(prompts), self._response_ids(responses), strict=True)
        self._seen += len(prompts)
        return [self._row(prompt, response) for prompt, response in pairs]

    def prompts(self, prompts: Sequence[str], room: int) -> list[list[int]]:
        """The prompts alone, with `room` tokens left in the model's context for the response of a decoder.

        Raises Unsupported where that leaves nothing for a prompt.
        """
        self._seen += len(prompts)
        context = self._context.model.context
        limit = None if context is None else context - (0 if self._two_texts else room)
        if limit is not None and limit <= len(self._before) + len(self._after):
            raise Unsupported(f"the model's context of {context} tokens has no room for a prompt and {room} new tokens")
        return [self._prompt(ids, limit) for ids in self._plain_ids(prompts)]

    def say(self, what: str) -> None:
        """Tells the record what was cut, where anything was."""
        for part, count in self._cut.items():
            if count:
                side = "their beginning" if part == "prompts" and self._lengths.keep == "end" else "their end"
                self._context.note(f"{what}: {count} of {self._seen} {part} were too long and lost {side}")

    def _row(self, prompt: list[int], response: list[int]) -> dict[str, Any]:
        whole = self._context.max_length
        if self._two_texts:
            return {"input_ids": self._prompt(prompt, whole), "labels": self._cut_response(response, whole)}
        least = len(self._before) + len(self._after) + 1
        if whole <= least:
            raise Unsupported(f"train.max_length: {whole} has no room for a prompt and a response")
        response = self._cut_response(response, whole - least)
        ids = self._prompt(prompt, whole - len(response))
        return {"input_ids": [*ids, *response], "labels": [IGNORED_LABEL] * len(ids) + response}

    def _prompt(self, ids: list[int], limit: int | None) -> list[int]:
        """The prompt between its special tokens, within the limit and the task's own length."""
        special = len(self._before) + len(self._after)
        wanted = len(ids) if self._lengths.prompt is None else min(len(ids), max(1, self._lengths.prompt - special))
        kept = wanted if limit is None else min(wanted, max(1, limit - special))
        if kept < len(ids):
            self._cut["prompts"] += 1
            self.shortened = self.shortened or kept < wanted
        body = ids[len(ids) - kept :] if self._lengths.keep == "end" else ids[:kept]
        return [*self._before, *body, *self._after] or [
            first_token(self._tokenizer, "an empty prompt, and the tokenizer has no token that a text could begin with")
        ]

    def _cut_response(self, ids: list[int], limit: int) -> list[int]:
        """A response that is cut does not end, so it loses its end-of-text token."""
        most = limit if self._lengths.response is None else min(limit, self._lengths.response)
        if len(ids) > most:
            self._cut["responses"] += 1
        return ids[:most]

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before a text and after it; of a decoder's without the end-of-text token, which nothing follows."""
        text = "a"
        plain = self._plain_ids([text])[0]
        whole: list[int] = self._tokenizer(text, verbose=False)["input_ids"]
        places = [place for place in range(len(whole) - len(plain) + 1) if whole[place : place + len(plain)] == plain]
        if not places:
            raise Unsupported("the tokenizer writes a text otherwise where it adds its special tokens, so prompts cannot be cut between them")
        after = whole[places[0] + len(plain) :]
        return whole[: places[0]], after if self._two_texts else [token for token in after if token != self._tokenizer.eos_token_id]

    def _plain_ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _response_ids(self, texts: Sequence[str]) -> list[list[int]]:
        if self._two_texts:
            targets: list[list[int]] = self._tokenizer(text_target=list(texts), verbose=False)["input_ids"]
            return targets
        end = self._tokenizer.eos_token_id
        return [row if end is None else [*row, end] for row in self._plain_ids(texts)]
