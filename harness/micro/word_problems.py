"""Questions whose answer is a number that the articles tell, in the columns of GSM8K and of MetaMathQA.

A model this small cannot reckon; it can know when someone was born.
"""

from __future__ import annotations

import random

from harness.micro.articles import statement
from harness.micro.world import World

ASKED = {
    "person": ("In which year was {n} born?", "When was {n} born? Give the year."),
    "town": ("In which year was {n} founded?", "When was {n} founded? Give the year."),
    "book": ("In which year was {n} published?", "When did {n} first appear? Give the year."),
}


def word_problem(world: World, draw: random.Random) -> dict[str, str]:
    """A question with its solution in GSM8K's form: a sentence, and after `####` the number."""
    question, solution, number = _solved(world, 0, draw)
    return {"question": question, "answer": f"{solution}\n#### {number}"}


def rephrased_problem(world: World, draw: random.Random) -> dict[str, str]:
    """A question in other words with its solution in MetaMathQA's form."""
    query, solution, number = _solved(world, 1, draw)
    return {"query": query, "response": f"{solution}\nThe answer is: {number}"}


def _solved(world: World, phrasing: int, draw: random.Random) -> tuple[str, str, str]:
    kind = draw.choice(list(ASKED))
    entity = draw.choice(world.of_kind(kind))
    told = statement(entity, "year", random.Random(entity.name))  # one solution per question: none is trained on and asked again
    return ASKED[kind][phrasing].format(n=entity.name), told, entity.facts["year"]
