"""Runs the parts of a check one after the other, each as a process that is stopped when its time is over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import xml.etree.ElementTree as xml
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

GRACE_SECONDS = 20.0
TAIL_LINES = 25

Status = Literal["done", "failed", "stopped", "not reached", "skipped"]


@dataclass(frozen=True)
class Part:
    """One process. ends: seconds after the check's start by which it must have ended. stdout: a file for what it prints, apart from its
    errors; None: both go into the log."""

    name: str
    command: Sequence[str]
    ends: float
    stdout: Path | None = None


@dataclass(frozen=True)
class PartResult:
    """How a part went. tail: the end of what it printed, where it did not end well."""

    name: str
    status: Status
    seconds: float
    detail: str = ""
    tail: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Clock:
    """When the check started, in time.monotonic() seconds."""

    started: float

    @property
    def now(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self.started


def run_part(part: Part, clock: Clock, log: Path, environment: Mapping[str, str], folder: Path) -> PartResult:
    """Runs it in `folder`, its output in `log`; interrupts it (SIGINT) when its time is over, and kills it where that does not help."""
    begun = clock.now
    if begun >= part.ends:
        return PartResult(part.name, "not reached", 0.0, "no time was left")
    with log.open("a", encoding="utf-8") as errors, (part.stdout or log).open("a", encoding="utf-8") as output:
        process = subprocess.Popen(
            list(part.command), stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=folder, env=dict(environment), start_new_session=True,
            preexec_fn=_hear_interrupts,
        )  # fmt: skip
    in_time = _wait(process, part.ends - begun)
    if not in_time:
        process.send_signal(signal.SIGINT)
        if not _wait(process, GRACE_SECONDS):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds = round(clock.now - begun, 1)
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    if not in_time:
        return PartResult(part.name, "stopped", seconds, f"its time was over at {part.ends:.0f} s", tail)
    if process.returncode != 0:
        return PartResult(part.name, "failed", seconds, f"exit code {process.returncode}", tail)
    return PartResult(part.name, "done", seconds)


def _hear_interrupts() -> None:
    """A shell's background job ignores SIGINT, and what it starts would too: nothing would keep what it has."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait(process: subprocess.Popen[Any], seconds: float) -> bool:
    """Whether it ended within that time."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def account_of_tests(junit: Path) -> dict[str, Any]:
    """What pytest's JUnit file says: counts, and of what did not pass the names with the first line of why. Raises OSError, ParseError."""
    found: dict[str, Any] = {"passed": 0, "failed": {}, "skipped": {}}
    for case in xml.parse(junit).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        for kind, tags in (("failed", ("failure", "error")), ("skipped", ("skipped",))):
            told = next((case.find(tag) for tag in tags if case.find(tag) is not None), None)
            if told is not None:
                found[kind][name] = (told.get("message") or "").strip().splitlines()[:1]
                break
        else:
            found["passed"] += 1
    return found
