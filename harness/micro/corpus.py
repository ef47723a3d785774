"""The text that the models are pre-trained on: the grammar's own, drawn apart from the rows of the data sets."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from harness.micro.acceptability import sentence
from harness.micro.articles import article, article_rows, joined
from harness.micro.events import draw_event, worded
from harness.micro.pairs import description, loose_pair
from harness.micro.quiz import quiz_text
from harness.micro.reviews import review
from harness.micro.world import World

CORPUS_SEED = 29  # not the seed of the data sets: their rows are held out


@dataclass(frozen=True)
class Passage:
    """A short text, or two with the question whether the second restates the first (None: no such question)."""

    text: str
    second: str | None = None
    restated: bool | None = None


def documents(world: World, seed: int = CORPUS_SEED) -> Iterator[str]:
    """Endless long texts for the decoder: runs of articles, quizzes, and stretches of plain sentences."""
    draw = random.Random(f"documents/{seed}")
    while True:
        kind = draw.random()
        if kind < 0.45:
            yield joined(article_rows(world, draw.randint(3, 6), draw))
        elif kind < 0.95:
            yield quiz_text(world, draw)
        else:
            yield " ".join(_plain(draw).strip() for _ in range(12))


def passages(world: World, seed: int = CORPUS_SEED) -> Iterator[Passage]:
    """Endless short texts for the encoder and the encoder-decoder: sentences, paragraphs, pairs of sentences."""
    draw = random.Random(f"passages/{seed}")
    while True:
        kind = draw.random()
        if kind < 0.55:
            yield Passage(*loose_pair(draw))
        elif kind < 0.6:
            yield Passage(paragraph(world, draw))
        else:
            yield Passage(_plain(draw))


def paragraph(world: World, draw: random.Random) -> str:
    """One paragraph of an article, without its spaces at both ends."""
    rows = article(draw.choice(world.entities), draw)
    return draw.choice([row for row in rows if row and not row.startswith(" =")]).strip()


def _plain(draw: random.Random) -> str:
    kind = draw.random()
    if kind < 0.4:
        return sentence(draw, acceptable=True)
    if kind < 0.8:
        return review(draw, positive=draw.random() < 0.5)
    event = draw_event(draw)
    return worded(event, draw) if kind < 0.9 else description(event, draw)
