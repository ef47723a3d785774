"""Events: who did what to which thing, where and when; and the many ways to say one."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from harness.micro.articles import capitalised
from harness.micro.lexicon import ADJECTIVES, PLACES, ROLES, THINGS, TIMES, VERBS

SLOTS = ("agent", "verb", "thing", "adjective", "place", "time")
SIZES = {"agent": len(ROLES), "verb": len(VERBS), "thing": len(THINGS), "adjective": len(ADJECTIVES),
         "place": len(PLACES), "time": len(TIMES)}


@dataclass(frozen=True)
class Event:
    """One event: each slot is an index into its list of the lexicon; None where nothing is said."""

    agent: int
    verb: int
    thing: int
    adjective: int | None
    place: int | None
    time: int | None

    def slot(self, name: str) -> int | None:
        """The value of one of SLOTS."""
        value: int | None = getattr(self, name)
        return value


def draw_event(draw: random.Random) -> Event:
    """An event in which an adjective is said every second time, place and time nearly always."""
    optional = {name: draw.randrange(SIZES[name]) if draw.random() < chance else None
                for name, chance in (("adjective", 0.5), ("place", 0.85), ("time", 0.85))}
    required = {name: draw.randrange(SIZES[name]) for name in ("agent", "verb", "thing")}
    return Event(required["agent"], required["verb"], required["thing"], **optional)


def changed(event: Event, slots: list[str], draw: random.Random) -> Event:
    """The event with other values in the slots (each must be filled)."""
    values: dict[str, int] = {}
    for name in slots:
        current = event.slot(name)
        values[name] = draw.choice([value for value in range(SIZES[name]) if value != current])
    return replace(event, **values)


def filled(event: Event) -> list[str]:
    """The slots of the event that say something."""
    return [name for name in SLOTS if event.slot(name) is not None]


def worded(event: Event, draw: random.Random, freedom: float = 0.5) -> str:
    """A sentence for the event. freedom: chance of each of: a synonym per word, the passive, a fronted phrase."""
    role, thing = ROLES[event.agent], THINGS[event.thing]
    verb = VERBS[event.verb][draw.random() < freedom]
    agent = f"the {_either(role[0], role[2], draw, freedom)}"
    adjective = "" if event.adjective is None else f"{_either(*ADJECTIVES[event.adjective], draw, freedom)} "
    target = f"{adjective}{_either(thing[0], thing[2], draw, freedom)}"
    if draw.random() < freedom / 2:
        core = f"the {target} was {verb.participle} by {agent}"
    else:
        core = f"{agent} {verb.past} the {target}"
    return _sentence(core, event, draw, freedom)


def _either(word: str, synonym: str | None, draw: random.Random, freedom: float) -> str:
    return synonym if synonym is not None and draw.random() < freedom else word


def _sentence(core: str, event: Event, draw: random.Random, freedom: float) -> str:
    phrases = [PLACES[event.place]] if event.place is not None else []
    phrases += [TIMES[event.time]] if event.time is not None else []
    if phrases and draw.random() < freedom / 2:
        front = phrases.pop(draw.randrange(len(phrases)))
        core = f"{front} {core}"
    return capitalised(" ".join([core, *phrases])) + " ."
