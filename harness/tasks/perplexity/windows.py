"""From a text's tokens to the windows that a model reads, and how many tokens of each are scored."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import DataError

if TYPE_CHECKING:
    from harness.tasks.statistics import Array


@dataclass(frozen=True)
class Window:
    """What a model reads at once. inputs: shape (tokens,), what it is given. nexts: the token that follows each input, from the first
    on; one fewer where none follows the last. scored: how many of the last nexts count."""

    inputs: Array
    nexts: Array
    scored: int


def blocks(tokens: Array, length: int, what: str) -> Array:
    """Non-overlapping blocks, shape (blocks, length); the last, partial one is dropped. Raises DataError for none."""
    count = len(tokens) // length
    if count == 0:
        raise DataError(f"{what} has {len(tokens)} tokens with this tokenizer; one block takes {length}")
    return tokens[: count * length].reshape(count, length)


def separate(tokens: Array, length: int, what: str) -> list[Window]:
    """Non-overlapping windows, each scored but for its first token. Raises DataError for a text shorter than one.

    Source: the evaluation loop of GPTQ's code (Frantar et al. 2022, "GPTQ", sec. 4).
    """
    return [Window(block, block[1:], length - 1) for block in blocks(tokens, length, what)]


def sliding(tokens: Array, length: int, stride: int, what: str) -> list[Window]:
    """Windows that begin every `stride` tokens; of each only the tokens that no window before it had are scored, and never a window's
    first, which has nothing before it. So a last window of a single token is none. Raises DataError for a text of fewer than two tokens.

    Source: transformers' documentation, "Perplexity of fixed-length models".
    """
    if len(tokens) < 2:
        raise DataError(f"{what} has {len(tokens)} tokens with this tokenizer; the first is context only, so there is nothing to predict")
    windows: list[Window] = []
    seen = 0
    for begin in range(0, len(tokens), stride):
        end = min(begin + length, len(tokens))
        if scored := min(end - seen, end - begin - 1):
            windows.append(Window(tokens[begin:end], tokens[begin + 1 : end], scored))
        seen = end
        if end == len(tokens):
            break
    return windows


def rolling(tokens: Array, prefix: int, length: int) -> list[Window]:
    """Windows of at most `length` inputs in which every token is scored once, the first of them after the token `prefix`. The last
    window reaches back so far that it is full. None for no tokens.

    Source: lm-evaluation-harness 0.4, `get_rolling_token_windows` with a context of one token.
    """
    import numpy as np

    text = np.concatenate([[prefix], tokens])
    windows: list[Window] = []
    for done in range(0, len(tokens), length):
        end = min(done + length, len(tokens))
        start = max(0, end - length)
        windows.append(Window(text[start:end], text[start + 1 : end + 1], end - done))
    return windows


def drawn(texts: Sequence[str], tokenized: Callable[[str], list[int]], count: int, length: int, chance: random.Random) -> tuple[list[list[int]], list[list[int]]]:
    """(windows, short): a window of `length` tokens each from a random place of random texts that are longer, with replacement;
    short ones are drawn again. Where no text is longer there is no window; short then has the tokens of all texts.

    Source: `get_c4` of GPTQ's code, which fails on a text of exactly `length` tokens; here that is a short one.
    """
    short: dict[int, list[int]] = {}
    windows: list[list[int]] = []
    while len(windows) < count and len(short) < len(texts):
        index = chance.randint(0, len(texts) - 1)
        if index in short:
            continue
        tokens = tokenized(texts[index])
        if len(tokens) > length:
            start = chance.randint(0, len(tokens) - length - 1)
            windows.append(tokens[start : start + length])
        else:
            short[index] = tokens
    return windows, list(short.values())
