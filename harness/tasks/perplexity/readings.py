"""What each protocol reads of a text, and the numbers that it makes of the losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.tasks.perplexity.documents import Document
from harness.tasks.perplexity.estimates import Estimate, bits, perplexity
from harness.tasks.perplexity.windows import Window


@dataclass(frozen=True)
class Number:
    """One metric. protocol: its id. units: how many tokens, words or bytes each item has. estimate: (losses, units) -> the value."""

    name: str
    protocol: str
    units: list[int]
    estimate: Callable[[Sequence[float], Sequence[int]], Estimate] = perplexity


@dataclass(frozen=True)
class Reading:
    """items: the windows of each item (a window or a document), whose losses are summed. numbers: what is made of the sums."""

    items: list[list[Window]]
    numbers: list[Number]


def of_windows(name: str, protocol: str, windows: Sequence[Window]) -> Reading:
    """Every window an item; perplexity per scored token."""
    return Reading([[window] for window in windows], [Number(name, protocol, [window.scored for window in windows])])


def of_documents(protocol: Callable[[str], str], documents: Sequence[Document], windows: list[list[Window]]) -> Reading:
    """Every document an item; perplexity per word and per byte of its original, and bits per byte. protocol: unit -> id."""
    utf8_bytes = [document.utf8_bytes for document in documents]
    words = Number("word_perplexity", protocol("word"), [document.words for document in documents])
    numbers = [words, Number("byte_perplexity", protocol("byte"), utf8_bytes), Number("bits_per_byte", protocol("byte"), utf8_bytes, bits)]
    return Reading(windows, numbers)
