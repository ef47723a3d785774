"""Message trees (OpenAssistant) -> one dialogue each: the path of top-ranked messages from its root.

Source: Köpf et al. 2023, "OpenAssistant Conversations"; Dettmers et al. 2023, "QLoRA", sec. 5.1: the top reply at every level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import DataError
from harness.tasks.instruct.dialogues import Exchange
from harness.tasks.rows.source import Rows

PROMPTER, ASSISTANT = ROLES = ("prompter", "assistant")


def tree_dialogues(rows: Rows, lang: str | None = None) -> list[list[Exchange]]:
    """One dialogue per tree, in the order of the roots; empty where nobody replied, or where a message's parent is missing.

    rows: `message_id`, `parent_id` (empty: a root), `text`, `role` (index into ROLES), perhaps `rank` (0: the best; None: not
    ranked) and `lang`. lang: only trees whose root is in that language. Of messages with one parent those ranked come first, best first, then
    the others in the order of the file. Raises DataError for an id that occurs twice, and for a message that follows one of
    its own role.
    """
    messages = _by_id(rows)
    children: dict[str, list[dict[str, Any]]] = {}
    for message in messages.values():
        _check_role(message, messages, rows.place)
        children.setdefault(message["parent_id"], []).append(message)
    for siblings in children.values():
        siblings.sort(key=_rank)
    roots = [message for message in messages.values() if message["parent_id"] not in messages]
    return [_path(root, children) for root in roots if lang is None or root.get("lang") == lang]


def _rank(message: Mapping[str, Any]) -> float:
    rank = message.get("rank")
    return math.inf if rank is None else float(rank)


def _by_id(rows: Rows) -> dict[str, dict[str, Any]]:
    messages: dict[str, dict[str, Any]] = {}
    for number, message in enumerate(rows, 1):
        name = message["message_id"]
        if not name:
            raise DataError(f"{rows.place}: row {number}, column message_id: empty; expected an id that no other message has")
        if name in messages:
            raise DataError(f"{rows.place}: row {number}, column message_id: {name!r} occurs a second time; ids tell messages apart")
        messages[name] = {**message, "number": number}
    return messages


def _check_role(message: Mapping[str, Any], messages: Mapping[str, Mapping[str, Any]], place: str) -> None:
    parent = messages.get(message["parent_id"])
    if parent is not None and parent["role"] == message["role"]:
        role = ROLES[message["role"]]
        raise DataError(f"{place}: row {message['number']}, column role: {role} answers {role} (row {parent['number']}); expected turns")


def _path(root: dict[str, Any], children: Mapping[str, Sequence[dict[str, Any]]]) -> list[Exchange]:
    """The exchanges from a root on; none where it is an answer to a message that is not there."""
    if root["parent_id"] or ROLES[root["role"]] != PROMPTER:
        return []
    exchanges, prompt = [], root
    while replies := children.get(prompt["message_id"]):
        exchanges.append(Exchange(prompt["text"], replies[0]["text"]))
        further = children.get(replies[0]["message_id"])
        if not further:
            break
        prompt = further[0]
    return exchanges
