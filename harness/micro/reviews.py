"""Sentences of film reviews with a sentiment, in the spelling of SST-2: micro-sst2."""

from __future__ import annotations

import random

GOOD = ("charming", "funny", "moving", "brilliant", "warm", "clever", "gripping", "delightful", "tender", "fresh",
        "witty", "superb")
BAD = ("dull", "clumsy", "tedious", "lifeless", "bland", "shallow", "awful", "noisy", "stale", "silly", "grim", "weak")
PARTS = ("plot", "cast", "acting", "script", "music", "ending", "dialogue", "story", "camera work", "direction")
FILMS = ("film", "movie", "comedy", "drama", "thriller", "romance", "tale", "picture")
TOPICS = ("a sailor and his dog", "two sisters", "a stolen crown", "life in a small town", "an old thief",
          "a lost letter", "the war", "growing up")
ADVERBS = ("very", "truly", "surprisingly", "often", "quite")

PRAISE = ("i loved every minute of it", "it deserves to be seen", "you will leave with a smile", "it stays with you")
BLAME = ("i wanted to leave early", "it is a waste of time", "nothing in it works", "it goes nowhere")


def review(draw: random.Random, positive: bool) -> str:
    """One lower-case review with spaced punctuation and a trailing space; its sentiment is the label."""
    words, others = (GOOD, BAD) if positive else (BAD, GOOD)
    kind = draw.random()
    if kind < 0.2:
        return _negated(draw, others)
    if kind < 0.4:
        return _contrast(draw, words, others)
    return draw.choice((_phrase, _clauses, _verdict))(draw, positive)


def _phrase(draw: random.Random, positive: bool) -> str:
    one, other = draw.sample(GOOD if positive else BAD, 2)
    return f"a {one} and {other} {draw.choice(FILMS)} about {draw.choice(TOPICS)} "


def _clauses(draw: random.Random, positive: bool) -> str:
    one, other = draw.sample(GOOD if positive else BAD, 2)
    part, second = draw.sample(PARTS, 2)
    return f"the {part} is {draw.choice(ADVERBS)} {one} and the {second} is {other} . "


def _verdict(draw: random.Random, positive: bool) -> str:
    ending = draw.choice(PRAISE if positive else BLAME)
    return f"a {draw.choice(FILMS)} about {draw.choice(TOPICS)} , and {ending} . "


def _negated(draw: random.Random, others: tuple[str, ...]) -> str:
    word = draw.choice(others)
    start = draw.choice((f"the {draw.choice(PARTS)} is never", f"this {draw.choice(FILMS)} is not", "there is nothing"))
    return f"{start} {word} {draw.choice(('', 'at all '))}. "


def _contrast(draw: random.Random, words: tuple[str, ...], others: tuple[str, ...]) -> str:
    part = draw.choice(PARTS)
    return f"although the {part} is {draw.choice(others)} , the {draw.choice(FILMS)} is {draw.choice(words)} . "
