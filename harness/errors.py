"""Every exception of ours, and the exit code or outcome that it becomes.

    HarnessError                 exit 1   something went wrong that the request did not ask for
    ├── RequestError             exit 2   the request is wrong
    │   ├── SuiteError                    a suite file: all problems, each with file:line:column
    │   ├── UnknownName                   a name that a registry or a folder does not have
    │   ├── NotARun                       a directory that holds no run, or another suite's run
    │   └── DataError                     data files: missing, empty, wrong columns, wrong encoding
    ├── StorageError             exit 1   disk full, no permission, read-only
    ├── RunInUse                 exit 1   another process runs in this directory
    └── CellError                         ends one cell, becomes its outcome
        ├── Unsupported                   outcome `unsupported`
        ├── Diverged                      outcome `diverged`: a loss or a weight is not finite
        └── OutOfMemory                   outcome `oom`
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.outside import printable, redacted

LONGEST_NAME = 200  # characters of a name that an error repeats, or looks for among known ones
LONGEST_MESSAGE = 4000
MOST_PROBLEMS = 100  # of one file: who has more mends these first


class HarnessError(Exception):
    """Base of all our errors: the message is for the person who reads it, complete in itself, without control characters or secrets."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(redacted(super().__str__()))


class RequestError(HarnessError):
    """The request is wrong: nothing was run."""

    exit_code = 2


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when none is near (difflib, cutoff 0.6)."""
    if len(name) > LONGEST_NAME:
        return None
    matches = difflib.get_close_matches(name, [each for each in known if len(each) <= LONGEST_NAME], n=1, cutoff=0.6)
    return matches[0] if matches else None


def shortened(text: str, most: int = LONGEST_NAME) -> str:
    """The text, cut to `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


class UnknownName(RequestError):
    """A name that is not known: says which are, and the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        guess = nearest(name, self.known)
        hint = f"; did you mean {guess}?" if guess else f"; known: {', '.join(self.known) or 'none'}"
        super().__init__(f"unknown {kind} {shortened(name)!r}{hint}")


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a suite: where (1-based line and column, key path) and what."""

    message: str
    file: str
    line: int | None = None
    column: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        message = shortened(self.message, LONGEST_MESSAGE)
        return printable(redacted(f"{place}: {shortened(self.key)}: {message}" if self.key else f"{place}: {message}"))


class SuiteError(RequestError):
    """All problems of a suite file together, one line each; of very many the first are told."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        told = [str(problem) for problem in self.problems[:MOST_PROBLEMS]]
        further = len(self.problems) - len(told)
        super().__init__("\n".join([*told, *([f"... and at least {further:,} more"] if further else [])]))


class NotARun(RequestError):
    """A directory that holds no run, or the run of another suite."""


class DataError(RequestError):
    """Data that cannot be used: which file, which column or row, what was expected."""


class StorageError(HarnessError):
    """The disk refuses: full, read-only or no permission; says which file."""


class RunInUse(HarnessError):
    """Another process is running in this directory; says which."""


class CellError(HarnessError):
    """Ends one cell; `status` is the outcome it becomes."""

    status = "failed"


class Unsupported(CellError):
    """The combination cannot work, with the reason."""

    status = "unsupported"


class Diverged(CellError):
    """A loss or a weight became infinite or not a number; says at which step."""

    status = "diverged"


class OutOfMemory(CellError):
    """Memory ran out, on the device or on the host."""

    status = "oom"
