"""Articles about the world's entities, in rows that look like WikiText's: blank, heading, paragraph."""

from __future__ import annotations

import random
from collections.abc import Sequence

from harness.micro.world import COUNTRY, Entity, World

# {s}: the entity as subject, by name or pronoun; {p}: its possessive; {v}: the value. The text is already
# spaced as WikiText's tokenizer does it: punctuation stands alone.
STATEMENTS: dict[tuple[str, str], Sequence[str]] = {
    ("person", "occupation"): ("{s} works as a {v} .", "{s} is a {v} .", "{s} has been a {v} for many years ."),
    ("person", "town"): ("{s} lives in {v} .", "{s} has a house in {v} .", "{p} home is in {v} ."),
    ("person", "instrument"): ("{s} plays the {v} .", "{s} learned to play the {v} as a child .",
                               "{p} favourite instrument is the {v} ."),
    ("person", "season"): ("{s} was born in the {v} .", "{p} birthday is in the {v} ."),
    ("person", "year"): ("{s} was born in the year {v} .",),
    ("town", "region"): (f"{{s}} lies in the {{v}} of {COUNTRY} .", "{s} is found in the {v} of the country ."),
    ("town", "size"): ("{s} is a {v} town .", "{s} is known as a {v} place ."),
    ("town", "product"): ("{s} is famous for its {v} .", "The people of the town trade in {v} .",
                          "{p} main product is {v} ."),
    ("town", "river"): ("{s} stands on the river {v} .", "The river {v} flows through the town ."),
    ("town", "season"): ("{s} holds a fair every {v} .", "{p} fair takes place in the {v} ."),
    ("town", "year"): ("{s} was founded in the year {v} .",),
    ("animal", "habitat"): ("{s} lives in the {v} .", "{p} home is the {v} .", "{s} is often seen in the {v} ."),
    ("animal", "food"): ("{s} eats {v} .", "{s} feeds on {v} .", "{p} diet is mostly {v} ."),
    ("animal", "colour"): ("{s} has {v} fur or feathers .", "{p} colour is {v} ."),
    ("animal", "active"): ("{s} is active at {v} .", "{s} looks for food at {v} ."),
    ("animal", "size"): ("{s} is a {v} animal .", "For its kind , {s} is {v} ."),
    ("book", "author"): ("{s} was written by {v} .", "{p} author is {v} ."),
    ("book", "genre"): ("{s} is a {v} .", "Critics call {o} a {v} ."),
    ("book", "town"): ("{s} is set in {v} .", "The story takes place in {v} ."),
    ("book", "year"): ("{s} was published in the year {v} .", "{s} first appeared in the year {v} ."),
}
SECTIONS: dict[str, tuple[Sequence[str], Sequence[tuple[str, Sequence[str]]]]] = {
    "person": (("occupation", "town"), (("Early life", ("season", "year", "town")), ("Career", ("occupation", "instrument")))),
    "town": (("region", "size"), (("History", ("year", "river")), ("Economy", ("product", "season", "region")))),
    "animal": (("size", "habitat"), (("Description", ("colour", "size")), ("Behaviour", ("food", "active", "habitat")))),
    "book": (("genre", "author"), (("Plot", ("town", "genre")), ("Reception", ("year", "author")))),
}
ASIDES: dict[str, Sequence[str]] = {
    "person": ("Many people in {town} know {p} name .", "Other people who work as a {occupation} often ask {o} for advice .",
               "{s} never left {town} for long ."),
    "town": ("The fair in the {season} brings many visitors .", "Boats on the {river} carry {product} to the coast .",
             "Most families there live from {product} ."),
    "animal": ("It hides in the {habitat} when it is not looking for {food} .", "At {active} it can be heard from far away ."),
    "book": ("The streets of {town} play a large part in it .", "Readers of a {genre} still enjoy it .",
             "{author} wrote it in a few months ."),
}
OBJECT = {"she": "her", "he": "him", "it": "it"}
POSSESSIVE = {"she": "her", "he": "his", "it": "its"}


def capitalised(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def statement(entity: Entity, attribute: str, draw: random.Random, by_name: bool = True) -> str:
    """One sentence that says one fact, spaced as in WikiText; without `by_name` a pronoun stands for the entity."""
    name = named(entity)
    subject = name if by_name else entity.pronoun
    possessive = f"{name} 's" if by_name else POSSESSIVE[entity.pronoun]
    target = name if by_name else OBJECT[entity.pronoun]
    template = draw.choice(STATEMENTS[entity.kind, attribute])
    return capitalised(template.format(s=subject, p=possessive, o=target, v=entity.facts[attribute]))


def named(entity: Entity) -> str:
    """The entity as it stands inside a sentence: animals take an article."""
    return f"the {entity.name}" if entity.kind == "animal" else entity.name


def article(entity: Entity, draw: random.Random) -> list[str]:
    """The rows of one article: title, lead, two sections; every fact of the entity is in it at least once."""
    lead, sections = SECTIONS[entity.kind]
    rows = ["", f" = {capitalised(entity.name)} = \n", "", _paragraph(entity, lead, draw)]
    for heading, attributes in sections:
        rows += ["", f" = = {heading} = = \n", "", _paragraph(entity, attributes, draw)]
    return rows


def _paragraph(entity: Entity, attributes: Sequence[str], draw: random.Random) -> str:
    order = draw.sample(list(attributes), len(attributes))
    sentences = [statement(entity, attribute, draw, by_name=i == 0) for i, attribute in enumerate(order)]
    aside = draw.choice(ASIDES[entity.kind])
    words = {"s": entity.pronoun, "p": POSSESSIVE[entity.pronoun], "o": OBJECT[entity.pronoun], **entity.facts}
    sentences.append(capitalised(aside.format(**words)))
    return f" {' '.join(sentences)} \n"


def article_rows(world: World, articles: int, draw: random.Random) -> list[str]:
    """The rows of so many articles, each entity drawn in turn from a shuffled deck; ends with an empty row."""
    rows: list[str] = []
    deck: list[Entity] = []
    for _ in range(articles):
        deck = deck or draw.sample(list(world.entities), len(world.entities))
        rows += article(deck.pop(), draw)
    return [*rows, ""]


def joined(rows: Sequence[str]) -> str:
    """Rows as one text, joined with a blank line as the GPTQ protocol does it."""
    return "\n\n".join(rows)
