"""How often the driver gave a reading and how often it refused, and what a record must tell of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass
class Tally:
    """One reading's history. silent_since: seconds after NVML was opened at which the refusals began that have not ended.

    given_up: the kind of a refusal that will not change, after which it is not asked for again.
    """

    taken: int = 0
    refused: int = 0
    reason: str = ""
    silent_since: float | None = None
    given_up: str | None = None

    def take(self) -> None:
        """The driver gave it."""
        self.taken += 1
        self.silent_since = None

    def refuse(self, reason: str, at: float) -> None:
        """The driver refused it."""
        self.refused += 1
        self.reason = reason
        self.silent_since = at if self.silent_since is None else self.silent_since


def untold(tallies: Mapping[str, Tally], dead: str | None) -> list[str]:
    """The notes. dead: why the driver gives nothing at all any more; None: it still does."""
    notes = [f"NVML gives no {what} here ({tally.reason})" for what, tally in tallies.items() if tally.refused and not tally.taken]
    ended = {what: tally for what, tally in tallies.items() if tally.taken and (tally.silent_since is not None or dead)}
    began = [tally.silent_since for tally in ended.values() if tally.silent_since is not None]
    if ended and began:
        reason = dead or next(tally.reason for tally in ended.values() if tally.silent_since is not None)
        notes.append(f"NVML fell silent {min(began):.1f} s after the sampler began ({reason}): from then on it gives no {', '.join(ended)}")
    notes += [
        f"NVML refused {tally.refused} of {tally.refused + tally.taken} readings of {what} ({tally.reason})"
        for what, tally in tallies.items()
        if tally.refused and tally.taken and what not in ended
    ]
    return notes
