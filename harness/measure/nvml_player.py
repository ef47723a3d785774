"""Traces of NVML calls, and the player that answers as the driver did when a trace was recorded.

A trace is a file of JSON lines. The first says what it is: `{"nvml_trace": 1, "origin": "recorded"}` (by `harness doctor
--record`) or `"hand-written"`, with `about` in words. Every other line is one answer:

    {"call": "nvmlDeviceGetMemoryInfo", "arguments": ["device 0"], "result": {"total": 80, "free": 70, "used": 10}, "times": 3}
    {"call": "nvmlDeviceGetPowerUsage", "error": "NO_PERMISSION"}

A device's handle is a string, a structure an object of its fields, the sampled process's id the word `cell`. Without `arguments`
an answer holds for any. The nth call of a function gets its nth answer; `times` says how often one was given in a row, and
the last one holds for ever. So a trace can be played at any speed, and by code that asks in another order.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import RequestError

TRACE_VERSION: Literal[1] = 1
CELL = "cell"
MISMATCH = "LIBRARY_MISMATCH"
P = TypeVar("P", bound=BaseModel)


class TraceHead(BaseModel):
    """The first line: whether the answers were recorded from a driver or written by hand, and of what."""

    model_config = ConfigDict(extra="forbid")

    nvml_trace: Literal[1]
    origin: Literal["recorded", "hand-written"]
    about: str
    made: str | None = None
    period_ms: float | None = None


class Answer(BaseModel):
    """One answer of the driver: a result or the name of an NVML_ERROR, given `times` times in a row from `at` seconds on."""

    model_config = ConfigDict(extra="forbid")

    call: str
    arguments: list[Any] | None = None
    result: Any = None
    error: str | int | None = None
    times: int = Field(default=1, ge=1)
    at: float | None = None


@dataclass(frozen=True)
class Trace:
    """A whole trace. path: where it was read."""

    path: Path
    head: TraceHead
    answers: list[Answer] = field(default_factory=list)


def read_trace(path: Path) -> Trace:
    """Reads a trace; raises RequestError with file and line for anything else."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise RequestError(f"{path} is no trace of NVML: {error}") from error
    head = _parsed(TraceHead, path, 1, lines[0] if lines else "")
    return Trace(path, head, [_parsed(Answer, path, number, line) for number, line in enumerate(lines, start=1) if number > 1 and line.strip()])


def _parsed(kind: type[P], path: Path, number: int, line: str) -> P:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise RequestError(f"{path}:{number}: not a line of an NVML trace: {error.errors()[0]['msg']}") from error


def write_trace(path: Path, head: TraceHead, answers: list[Answer]) -> None:
    """Writes a trace, what is not said left out; raises OSError."""
    lines = [json.dumps(part.model_dump(exclude_defaults=True)) for part in (head, *answers)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class PlayedDriver:
    """Answers calls from a trace and raises pynvml's own errors. cell: the process whose id stands for the trace's own."""

    def __init__(self, trace: Trace, cell: int) -> None:
        import pynvml

        self.note: str | None = f"NVML was not asked: its readings are played from {trace.path.name} ({trace.head.origin})"
        self.asked: list[str] = []
        self._library = pynvml
        self._cell = cell
        self._answers: dict[tuple[str, tuple[Any, ...] | None], _Row] = defaultdict(_Row)
        for answer in trace.answers:
            arguments = None if answer.arguments is None else tuple(answer.arguments)
            self._answers[answer.call, arguments].answers.append(answer)
        self._functions = {function for function, _ in self._answers}

    def call(self, function: str, *arguments: Any) -> Any:
        """The next answer to that call; a function without any is one that the driver does not have."""
        self.asked.append(function)
        if function not in self._functions:
            raise self._library.NVMLError(self._library.NVML_ERROR_FUNCTION_NOT_FOUND)
        row = self._answers.get((function, arguments)) or self._answers.get((function, None))
        if row is None:
            raise self._library.NVMLError(self._library.NVML_ERROR_INVALID_ARGUMENT)
        answer = row.next()
        if answer.error is None:
            return self._revived(answer.result)
        if answer.error == MISMATCH:
            raise self._library.NVMLLibraryMismatchError("the driver's NVML is older than pynvml")
        known = answer.error if isinstance(answer.error, int) else getattr(self._library, f"NVML_ERROR_{answer.error}")
        raise self._library.NVMLError(known)

    def _revived(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._revived(part) for part in value]
        if isinstance(value, Mapping):
            fields = {name: self._revived(part) for name, part in value.items()}
            return SimpleNamespace(**(fields | {"pid": self._cell} if fields.get("pid") == CELL else fields))
        return value


@dataclass
class _Row:
    """The answers to one call, in their order."""

    answers: list[Answer] = field(default_factory=list)
    at: int = 0
    given: int = 0

    def next(self) -> Answer:
        if self.given == self.answers[self.at].times and self.at + 1 < len(self.answers):
            self.at, self.given = self.at + 1, 0
        self.given += 1
        return self.answers[self.at]
