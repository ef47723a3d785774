"""`github`: workflow commands that GitHub shows as annotations: an error for each regressed cell, a warning for what is undecided."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.gate.compare import Comparison
from harness.outside import printable
from harness.report.gate.words import notices, verdict_line

MOST = 8  # GitHub shows ten annotations of a kind for a step; the verdict and a count are two of them


def gate_github(found: Comparison) -> str:
    """One command a line."""
    return "".join(f"{line}\n" for line in _commands(found))


def _commands(found: Comparison) -> Iterator[str]:
    if found.verdict == "nothing worse":
        yield _command("notice", "harness compare", verdict_line(found))
    else:
        why = "".join(f"\n{suspect.sentence}" for suspect in found.suspects[:3])
        yield _command("error", "harness compare", verdict_line(found) + why)
    told: dict[str, list[str]] = {}
    for event in found.regressions:
        told.setdefault(event.place, []).append(f"{event.kind}: {event.sentence}")
    for change in found.worse:
        told.setdefault(change.place, []).append(change.sentence)
    yield from (_command("error", place, "\n".join(lines)) for place, lines in list(told.items())[:MOST])
    if len(told) > MOST:
        yield _command("error", "harness compare", f"{len(told) - MOST} more cells are worse")
    yield from (_command("warning", "harness compare", notice) for notice in list(notices(found))[:MOST])


def _command(level: str, title: str, message: str) -> str:
    """`::error title=…::…` with the characters escaped that would end it (GitHub: actions/toolkit, core's command.ts)."""
    message, title = printable(message), printable(title)
    text = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    name = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{text}"
