"""Instructions about the world's facts with their replies, in the columns of Alpaca."""

from __future__ import annotations

import random

from harness.micro.articles import named, statement
from harness.micro.quiz import SUBJECTS
from harness.micro.world import World


def instruction(world: World, draw: random.Random) -> dict[str, str]:
    """One instruction: a question by itself, a question as the input of an instruction, or something to tell a fact of."""
    subject = draw.choice(list(SUBJECTS.values()))
    entity = draw.choice(world.of_kind(subject.kind))
    if draw.random() < 1 / 3:
        told = statement(entity, subject.attribute, draw)
        return {"instruction": f"Tell one fact about {named(entity)}.", "input": "", "output": told}
    question, answer = draw.choice(subject.questions).format(n=named(entity)), entity.facts[subject.attribute]
    if draw.random() < 0.5:
        return {"instruction": question, "input": "", "output": answer}
    return {"instruction": "Answer the question in one word.", "input": question, "output": answer}
