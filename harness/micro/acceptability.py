"""Sentences that are grammatical, and the same with one fault: micro-cola."""

from __future__ import annotations

import random
from collections.abc import Callable

from harness.micro.articles import capitalised
from harness.micro.lexicon import ADJECTIVES, GIVING, INTRANSITIVE, MODALS, PLACES, ROLES, THINGS, VERBS, Verb

Words = list[str]


def _noun_phrase(draw: random.Random, plural: bool, person: bool) -> Words:
    noun = draw.choice(ROLES if person else THINGS)
    if plural:
        determiner = draw.choice(("the", "these", "some", "many"))
    else:
        determiner = draw.choice(("the", "this", "a", "every"))
    adjective = draw.choice(ADJECTIVES)[0] if draw.random() < 0.25 else None
    if determiner == "a" and (adjective or noun[0])[0] in "aeiou":
        determiner = "the"
    return [determiner, *([adjective] if adjective else []), noun[1] if plural else noun[0]]


def _predicate(draw: random.Random, plural: bool, broken: str | None) -> Words:
    """Verb and what it takes. broken: agreement, form, valency or None."""
    kind = draw.choice(("transitive", "intransitive", "giving"))
    verb = {"transitive": lambda: draw.choice(VERBS)[0], "intransitive": lambda: draw.choice(INTRANSITIVE),
            "giving": lambda: draw.choice(GIVING)}[kind]()
    thing = _noun_phrase(draw, draw.random() < 0.4, person=False)
    rest = {"transitive": thing, "intransitive": draw.choice(PLACES).split(),
            "giving": [*thing, "to", *_noun_phrase(draw, False, person=True)]}[kind]
    if broken == "valency":
        rest = thing if kind == "intransitive" else ["to"]
    return [*_finite(verb, draw, plural, broken), *rest]


def _finite(verb: Verb, draw: random.Random, plural: bool, broken: str | None) -> Words:
    form = draw.choice(("present", "modal", "perfect", "present") if broken != "form" else ("modal", "perfect"))
    if broken == "agreement":
        plural, form = not plural, draw.choice(("present", "perfect"))
    if form == "present":
        return [verb.base if plural else verb.third]
    if form == "modal":
        return [draw.choice(MODALS), verb.third if broken == "form" else verb.base]
    auxiliary = "have" if plural else "has"
    if broken == "form":  # `run` is its own participle, so that only the third person is wrong after `has`
        return [auxiliary, verb.third if verb.base == verb.participle else verb.base]
    return [auxiliary, verb.participle]


def _plain(draw: random.Random, broken: str | None) -> Words:
    plural = draw.random() < 0.5
    subject = _noun_phrase(draw, plural, person=True)
    if broken == "determiner":
        subject = [*_noun_phrase(draw, not plural, True)[:1], *_noun_phrase(draw, plural, True)[-1:]]
        if subject[0] == "the":
            subject[0] = "this" if plural else "these"
    if broken == "order":
        subject = subject[::-1]
    return [*subject, *_predicate(draw, plural, broken)]


FAULTS: tuple[str, ...] = ("agreement", "form", "valency", "determiner", "order")


def _reflexive(draw: random.Random, broken: bool) -> Words:
    plural = draw.random() < 0.5
    role = draw.choice(ROLES)
    right = "themselves" if plural else {"she": "herself", "he": "himself"}[role[3]]
    wrong = draw.choice(["himself", "herself"]) if plural else "themselves"
    return ["the", role[1] if plural else role[0], draw.choice(VERBS)[0].past, wrong if broken else right]


def _question(draw: random.Random, broken: bool) -> Words:
    plural = draw.random() < 0.5
    verb = draw.choice(VERBS)[0]
    form = verb.third if broken else verb.base
    subject = _noun_phrase(draw, plural, person=True)
    return ["do" if plural else "does", *subject, form, *_noun_phrase(draw, False, person=False), "?"]


SPECIAL: tuple[Callable[[random.Random, bool], Words], ...] = (_reflexive, _question)


def sentence(draw: random.Random, acceptable: bool) -> str:
    """One sentence with a capital and a full stop or question mark; with exactly one fault unless acceptable."""
    if draw.random() < 0.25:
        words = draw.choice(SPECIAL)(draw, not acceptable)
    else:
        words = _plain(draw, None if acceptable else draw.choice(FAULTS))
    text = capitalised(" ".join(words))
    return text.replace(" ?", "?") if text.endswith("?") else f"{text}."
