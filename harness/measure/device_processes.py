"""Whose memory on the device is whose: the cell's processes and everybody else's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Holder:
    """One context on the device: its process, and its bytes; None where the driver does not tell (WSL, no permission)."""

    pid: int
    used: int | None


@dataclass(frozen=True)
class Division:
    """The driver's list of processes, divided. own: bytes of the cell's processes, None where none is listed or one has no
    number. listed: whether one is. others: bytes of all others, None where one has no number. strangers: their ids."""

    own: int | None
    listed: bool
    others: int | None
    strangers: frozenset[int]


def divide(holders: Sequence[Holder], family: Collection[int]) -> Division:
    """Divides what the driver lists between the processes of `family` and others."""
    own = [holder.used for holder in holders if holder.pid in family]
    others = [holder.used for holder in holders if holder.pid not in family]
    strangers = frozenset(holder.pid for holder in holders if holder.pid not in family)
    return Division(_sum(own) if own else None, bool(own), _sum(others), strangers)


def _sum(used: Sequence[int | None]) -> int | None:
    return None if None in used else sum(value for value in used if value is not None)
