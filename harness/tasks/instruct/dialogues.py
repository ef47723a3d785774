"""What instruction tuning is on: dialogues, each a list of exchanges of which mostly there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias


class Exchange(NamedTuple):
    """What a person writes, and the reply. given: what an instruction is about, where it stands apart (Alpaca's `input`)."""

    prompt: str
    reply: str
    given: str = ""


Dialogue: TypeAlias = Sequence[Exchange]


def answered(dialogue: Dialogue) -> list[Exchange]:
    """The exchanges up to the first that lacks a prompt or a reply: nothing is learned of an empty one, and what comes after
    it answers to something that is not there."""
    exchanges: list[Exchange] = []
    for exchange in dialogue:
        if not exchange.reply.strip() or not (exchange.prompt.strip() or exchange.given.strip()):
            break
        exchanges.append(exchange)
    return exchanges
