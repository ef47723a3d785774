"""Pairs of sentences: paraphrase (micro-mrpc), entailment (micro-rte), similarity (micro-stsb)."""

from __future__ import annotations

import random

from harness.micro.articles import capitalised
from harness.micro.events import SLOTS, Event, changed, draw_event, filled, worded
from harness.micro.lexicon import ADJECTIVES, PLACES, ROLES, THINGS, VERBS

CORE = ("agent", "verb", "thing")
DETAILS = ("adjective", "place", "time")


def paraphrase_pair(draw: random.Random, same: bool) -> tuple[str, str]:
    """One event worded twice; or, where not `same`, two events of which one is `_altered`."""
    event = draw_event(draw)
    other = event if same else _altered(event, draw)
    one, two = worded(event, draw), worded(other, draw)
    while two == one:  # a copy is no paraphrase
        two = worded(other, draw, freedom=0.8)
    return one, two


def entailment_pair(draw: random.Random, entailed: bool) -> tuple[str, str]:
    """A premise of one or two events, and a hypothesis that follows from it or does not."""
    event = draw_event(draw)
    premise = worded(event, draw)
    if draw.random() < 0.3:
        events = [premise, worded(draw_event(draw), draw)]
        draw.shuffle(events)
        premise = " ".join(events)
    if entailed:
        return premise, _weaker(event, draw)
    return premise, _weaker(_altered(event, draw), draw, vague=False)


def _altered(event: Event, draw: random.Random) -> Event:
    """Another event that is told apart by where and when as well (three in four), or by who, what or whom alone."""
    slots = draw.sample(CORE, draw.choice((1, 2)))
    if draw.random() < 0.75:
        slots += [detail for detail in DETAILS if event.slot(detail) is not None]
    return changed(event, slots, draw)


def _weaker(event: Event, draw: random.Random, vague: bool = True) -> str:
    """A sentence that says no more than the event: details dropped; where `vague`, now and then who or what as well."""
    role, thing, verbs = ROLES[event.agent], THINGS[event.thing], VERBS[event.verb]
    kept = event
    for detail in DETAILS:
        kept = _without(kept, detail) if draw.random() < 0.25 else kept
    kind = draw.random()
    if vague and kind < 0.05:
        return f"The {thing[0]} was {draw.choice(verbs).participle} ."
    if vague and kind < 0.1:
        return f"The {role[0]} {draw.choice(verbs).past} something ."
    return worded(kept, draw, freedom=0.3)


def _without(event: Event, detail: str) -> Event:
    return Event(**{slot: None if slot == detail else event.slot(slot) for slot in SLOTS})  # type: ignore[arg-type]


def similarity_pair(draw: random.Random) -> tuple[str, str, float]:
    """Two sentences and how alike their meanings are, 0 to 5.

    5: one event worded twice; less in proportion to the slots that differ; 0: nothing shared.
    A fifth of a point of noise stands for the annotators' mean.
    """
    event = draw_event(draw)
    slots = filled(event)
    differing = draw.sample(slots, draw.randint(0, len(slots)))
    other = changed(event, differing, draw)
    score = 5.0 * (1.0 - len(differing) / len(slots)) + draw.choice((-0.2, 0.0, 0.2))
    return worded(event, draw), worded(other, draw), round(min(5.0, max(0.0, score)), 1)


def loose_pair(draw: random.Random) -> tuple[str, str, bool]:
    """For pre-training: a sentence and one that restates part of it, or one of another event; and which it is."""
    event = draw_event(draw)
    restated = draw.random() < 0.5
    other = event if restated else draw_event(draw)
    freedom = draw.choice((0.0, 0.5))  # the same words are found again first, their synonyms later
    wording = worded(other, draw, freedom) if draw.random() < 0.6 else _weaker(other, draw)
    return worded(event, draw, freedom), wording, restated


def description(event: Event, draw: random.Random) -> str:
    """A sentence on the kinds of things, which ties nouns to the nouns above them."""
    thing = THINGS[event.thing]
    place = PLACES[draw.randrange(len(PLACES))]
    adjective = draw.choice(ADJECTIVES)[0]
    return capitalised(f"the {thing[0]} {place} is a kind of {thing[3]} , and it is {adjective} .")
