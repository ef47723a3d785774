"""The world that the grammar talks about: entities with stable attributes, drawn once from a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.micro.lexicon import FAMILY_END, FAMILY_START, FIRST_NAMES, TOWN_END, TOWN_START

WORLD_SEED = 2305  # the embedded models know this world; every data set speaks of it
COUNTRY = "Ardenia"

# Scales have a natural order; the other attributes are open lists.
REGIONS = ("north", "east", "south", "west")
SEASONS = ("spring", "summer", "autumn", "winter")
TIMES_OF_DAY = ("dawn", "day", "dusk", "night")
SIZES = ("tiny", "small", "large", "huge")
PRODUCTS = ("wool", "glass", "salt", "silver", "cheese", "timber", "paper", "honey")
RIVERS = ("Arle", "Bodra", "Cessin", "Dovar", "Emmel", "Fyne")
OCCUPATIONS = ("baker", "doctor", "teacher", "sailor", "painter", "lawyer", "farmer", "weaver")
INSTRUMENTS = ("flute", "violin", "drum", "harp", "trumpet", "piano", "guitar", "cello")
HABITATS = ("forest", "desert", "marsh", "mountain", "meadow", "coast")
FOODS = ("berries", "fish", "grass", "insects", "seeds", "roots")
COLOURS = ("brown", "grey", "white", "black", "red", "golden")
GENRES = ("comedy", "tragedy", "mystery", "romance", "fable", "satire")
ANIMALS = ("fox", "owl", "hare", "deer", "otter", "crane", "lizard", "beaver")
ANIMAL_KINDS = ("silver", "great", "lesser")
BOOK_HEADS = ("The Silent", "The Golden", "A Distant", "The Broken", "A Winter", "The Last")
BOOK_TAILS = ("Garden", "Mirror", "Harbour", "Crown")


@dataclass(frozen=True)
class Entity:
    """Someone or something with an article of its own: a person, a town, an animal or a book.

    facts: attribute -> value; the same in every text that the grammar writes.
    """

    kind: str
    name: str
    pronoun: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class World:
    """All entities, by kind, in the order they were drawn."""

    people: Sequence[Entity]
    towns: Sequence[Entity]
    animals: Sequence[Entity]
    books: Sequence[Entity]

    @property
    def entities(self) -> tuple[Entity, ...]:
        """Everything that has an article."""
        return (*self.people, *self.towns, *self.animals, *self.books)

    def of_kind(self, kind: str) -> Sequence[Entity]:
        """The entities of one kind: person, town, animal or book."""
        return {"person": self.people, "town": self.towns, "animal": self.animals, "book": self.books}[kind]


def make_world(seed: int = WORLD_SEED) -> World:
    """The world of a seed: 48 people, 24 towns, 24 animals, 24 books."""
    draw = random.Random(f"world/{seed}")
    towns = [_town(name, draw) for name in draw.sample([a + b for a in TOWN_START for b in TOWN_END], 24)]
    families = draw.sample([a + b for a in FAMILY_START for b in FAMILY_END], 48)
    people = [_person(family, "she" if i % 2 else "he", towns, draw) for i, family in enumerate(families)]
    animals = [_animal(f"{kind} {animal}", draw) for animal in ANIMALS for kind in ANIMAL_KINDS]
    titles = [f"{head} {tail}" for head in BOOK_HEADS for tail in BOOK_TAILS]
    books = [_book(title, people, towns, draw) for title in titles]
    return World(people, towns, animals, books)


def _year(draw: random.Random) -> str:
    return str(draw.randrange(1800, 1990, 10))


def _town(name: str, draw: random.Random) -> Entity:
    facts = {"region": draw.choice(REGIONS), "size": draw.choice(SIZES), "product": draw.choice(PRODUCTS),
             "river": draw.choice(RIVERS), "season": draw.choice(SEASONS), "year": _year(draw)}
    return Entity("town", name, "it", facts)


def _person(family: str, pronoun: str, towns: Sequence[Entity], draw: random.Random) -> Entity:
    facts = {"occupation": draw.choice(OCCUPATIONS), "town": draw.choice(towns).name,
             "instrument": draw.choice(INSTRUMENTS), "season": draw.choice(SEASONS), "year": _year(draw)}
    return Entity("person", f"{draw.choice(FIRST_NAMES[pronoun])} {family}", pronoun, facts)


def _animal(name: str, draw: random.Random) -> Entity:
    facts = {"habitat": draw.choice(HABITATS), "food": draw.choice(FOODS), "colour": draw.choice(COLOURS),
             "active": draw.choice(TIMES_OF_DAY), "size": draw.choice(SIZES)}
    return Entity("animal", name, "it", facts)


def _book(title: str, people: Sequence[Entity], towns: Sequence[Entity], draw: random.Random) -> Entity:
    facts = {"author": draw.choice(people).name, "genre": draw.choice(GENRES), "town": draw.choice(towns).name,
             "year": _year(draw)}
    return Entity("book", title, "it", facts)
