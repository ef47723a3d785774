"""Multiple-choice questions about the world's facts, in the columns and the prompt of MMLU.

Every fact that is asked for is also told in articles. Half of the subjects ask for a value on a scale, whose
choices keep their natural order; the other half shuffle four values of an open list, which is harder.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from harness.micro import world as words
from harness.micro.articles import named
from harness.micro.world import Entity, World

LETTERS = "ABCD"
SHOTS = 5


@dataclass(frozen=True)
class Subject:
    """What a subject asks: an attribute of a kind of entity. values: all it can be; scale: in natural order."""

    kind: str
    attribute: str
    values: Sequence[str]
    scale: bool
    questions: Sequence[str]


SUBJECTS: dict[str, Subject] = {
    "chronology": Subject("person", "season", words.SEASONS, True,
                          ("In which season was {n} born?", "When is the birthday of {n}?")),
    "geography": Subject("town", "region", words.REGIONS, True,
                         ("In which part of the country is {n}?", "Where does {n} lie?")),
    "literature": Subject("book", "genre", words.GENRES, False,
                          ("What kind of book is {n}?", "Which genre is {n}?")),
    "music": Subject("person", "instrument", words.INSTRUMENTS, False,
                     ("Which instrument does {n} play?", "What does {n} play?")),
    "natural_history": Subject("animal", "active", words.TIMES_OF_DAY, True,
                               ("When is {n} active?", "At what time does {n} look for food?")),
    "professions": Subject("person", "occupation", words.OCCUPATIONS, False,
                           ("What is the work of {n}?", "As what does {n} work?")),
    "trade": Subject("town", "product", words.PRODUCTS, False,
                     ("What is {n} famous for?", "What is the main product of {n}?")),
    "urban_studies": Subject("town", "size", words.SIZES, True,
                             ("How big is {n}?", "What is the size of {n}?")),
}


@dataclass(frozen=True)
class Question:
    """One row of micro-mmlu. answer: index of the right choice."""

    question: str
    subject: str
    choices: tuple[str, ...]
    answer: int


def ask(name: str, entity: Entity, phrasing: int, draw: random.Random) -> Question:
    """A question of the subject about the entity; where the values are no scale, the choices are drawn."""
    subject = SUBJECTS[name]
    right = entity.facts[subject.attribute]
    choices = list(subject.values)
    if not subject.scale:
        choices = [right, *draw.sample([value for value in subject.values if value != right], 3)]
        draw.shuffle(choices)
    text = subject.questions[phrasing].format(n=named(entity))
    return Question(text, name, tuple(choices), choices.index(right))


def questions(world: World, name: str, draw: random.Random) -> list[Question]:
    """Every question of the subject in both phrasings, shuffled."""
    subject = SUBJECTS[name]
    found = [ask(name, entity, phrasing, draw) for entity in world.of_kind(subject.kind)
             for phrasing in range(len(subject.questions))]
    draw.shuffle(found)
    return found


def solved(question: Question) -> str:
    """The question as a solved example of the standard prompt, with the blank line after it."""
    choices = "".join(f"\n{letter}. {choice}" for letter, choice in zip(LETTERS, question.choices, strict=True))
    return f"{question.question}{choices}\nAnswer: {LETTERS[question.answer]}\n\n"


def heading(subject: str) -> str:
    """The prompt's first line with the blank line after it."""
    return f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"


def unasked(entities: Sequence[Entity]) -> int:
    """How many of the entities, from the end, the corpus never asks about: their facts it tells only in articles."""
    return len(entities) // 4


def quiz_text(world: World, draw: random.Random) -> str:
    """A heading and six solved questions of one subject, none about an `unasked` entity: pre-training text."""
    name = draw.choice(list(SUBJECTS))
    everyone = world.of_kind(SUBJECTS[name].kind)
    entities = draw.sample(everyone[: len(everyone) - unasked(everyone)], SHOTS + 1)
    asked = (ask(name, entity, draw.randrange(len(SUBJECTS[name].questions)), draw) for entity in entities)
    return heading(name) + "".join(solved(question) for question in asked)
