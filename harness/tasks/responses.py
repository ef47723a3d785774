"""A prompt and the response to it in tokens: rows to train on, whose loss is on the response alone, and prompts to go on from.

Prompt and response are tokenized apart and laid end to end, so that a model is asked at evaluation in the very tokens that it
was trained on. Source of the recipe: ChatGLM3's finetune_demo, and Taori et al. 2023 (Alpaca), train.py: labels -100 on the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.tasks.base import IGNORED_LABEL, TaskContext


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
    the tokenizer's own special tokens is the encoder's, the response the labels.
    """

    def __init__(self, context: TaskContext, lengths: Lengths) -> None:
        self._context, self._lengths = context, lengths
        self._tokenizer = context.tokenizer
        self._two_texts = context.model.kind == "encoder-decoder"
        self._cut = {"prompts": 0, "responses": 0}
        self._seen = 0

    def rows(self, prompts: Sequence[str], responses: Sequence[str]) -> list[dict[str, Any]]:
        """One row to train on per pair, at most context.max_length tokens in all: `input_ids` and `labels` of one length for
        a decoder, of two for an encoder-decoder. A response gets its room first, the prompt what is left."""
        pairs = zip(self._prompt_ids(prompts), self._response_ids(responses), strict=True)
        self._seen += len(prompts)
        return [self._row(prompt, response) for prompt, response in pairs]

    def prompts(self, prompts: Sequence[str], room: int) -> list[list[int]]:
        """The prompts alone, with `room` tokens left in the model's context for the response of a decoder."""
        self._seen += len(prompts)
        context = self._context.model.context
        limit = None if context is None else context - (0 if self._two_texts else room)
        return [self._cut_prompt(ids, limit) for ids in self._prompt_ids(prompts)]

    def say(self, what: str) -> None:
        """Tells the record what was cut, where anything was."""
        for part, count in self._cut.items():
            if count:
                side = ("their beginning" if self._lengths.keep == "end" else "their end") if part == "prompts" else "their end"
                self._context.note(f"{what}: {count} of {self._seen} {part} were too long and lost {side}")

    def _row(self, prompt: list[int], response: list[int]) -> dict[str, Any]:
        whole = self._context.max_length
        if self._two_texts:
            return {"input_ids": self._cut_prompt(prompt, whole), "labels": self._cut_response(response, whole)}
        response = self._cut_response(response, whole - 1)
        prompt = self._cut_prompt(prompt, whole - len(response))
        return {"input_ids": [*prompt, *response], "labels": [IGNORED_LABEL] * len(prompt) + response}

    def _cut_prompt(self, ids: list[int], limit: int | None) -> list[int]:
        """Within the limit and the task's own; an encoder-decoder's last token, the end of its text, stays."""
        most = min((each for each in (limit, self._lengths.prompt) if each is not None), default=len(ids))
        if len(ids) <= most:
            return ids
        self._cut["prompts"] += 1
        if self._lengths.keep == "end":
            return ids[len(ids) - most :]
        return [*ids[: most - 1], ids[-1]] if self._two_texts else ids[:most]

    def _cut_response(self, ids: list[int], limit: int) -> list[int]:
        """A response that is cut does not end, so it loses its end-of-text token."""
        most = limit if self._lengths.response is None else min(limit, self._lengths.response)
        if len(ids) > most:
            self._cut["responses"] += 1
        return ids[:most]

    def _prompt_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """With the tokenizer's own special tokens; a decoder's without an end-of-text token, after which nothing follows."""
        ids: list[list[int]] = self._tokenizer(list(texts), verbose=False)["input_ids"]
        end = self._tokenizer.eos_token_id
        if self._two_texts:
            return ids
        return [row[:-1] if len(row) > 1 and row[-1] == end else row for row in ids]

    def _response_ids(self, texts: Sequence[str]) -> list[list[int]]:
        if self._two_texts:
            targets: list[list[int]] = self._tokenizer(text_target=list(texts), verbose=False)["input_ids"]
            return targets
        ids = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        end = self._tokenizer.eos_token_id
        return [row if end is None else [*row, end] for row in ids]
