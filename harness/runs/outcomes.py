"""From how a cell's process ended to the outcome in its record."""

from __future__ import annotations

import re
import signal

from harness.errors import CellError, HarnessError
from harness.measure.failed_allocation import failed_allocation, killed_for_memory
from harness.measure.torch_memory import out_of_memory
from harness.outside import printable, redacted
from harness.records.parts import PhaseName, Status
from harness.records.schema import Outcome
from harness.runs.determinism import refused_operation

LONGEST_MESSAGE = 400

TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def one_line(text: str) -> str:
    """The text without line breaks, terminal codes and secrets, cut to what a table can show."""
    line = " ".join(printable(redacted(TERMINAL_CODES.sub("", text))).split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def outcome_of_error(error: BaseException, phase: PhaseName | None) -> Outcome:
    """The outcome of a cell whose process caught `error` in `phase`.

    Our own errors are sentences already; others get their type in front.
    """
    if isinstance(error, SystemExit):
        return Outcome(status="failed", phase=phase, message=_exited(error.code))
    refused = refused_operation(error)
    if refused is not None:
        return Outcome(status="unsupported", phase=phase, message=refused)
    text = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}".removesuffix(": ")
    status = _status(error)
    known = failed_allocation(error) if status == "oom" else None
    return Outcome(status=status, phase=phase, message=one_line(text), out_of_memory=known)


def outcome_of_exit(code: int | None, phase: PhaseName | None, oom_killed: bool) -> Outcome:
    """The outcome of a cell whose process ended without a word.

    code: its exit code, negative for a signal; None when the fork server died, and with it all that it had forked.
    oom_killed: whether the kernel's out-of-memory killer was at work.
    """
    if oom_killed:
        message = "killed by the kernel: the host is out of memory"
        return Outcome(status="oom", phase=phase, message=message, out_of_memory=killed_for_memory())
    if code is None:
        return Outcome(status="failed", phase=phase, message="the fork server was killed, and the cell with it")
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else "a real-time signal"
        return Outcome(status="failed", phase=phase, message=f"killed by signal {-code} ({name})")
    return Outcome(status="failed", phase=phase, message=_exited(code))


def outcome_of_timeout(limit: str, seconds: float, phase: PhaseName | None) -> Outcome:
    """The outcome of a cell that took longer than it may; limit: the key in the suite."""
    return Outcome(status="timeout", phase=phase, message=f"took longer than {limit}: {seconds:g} s")


def _exited(code: object) -> str:
    number = code if isinstance(code, int) else 0 if code is None else 1
    words = f": {one_line(code)}" if isinstance(code, str) and code else ""
    return f"the process exited with code {number} before the cell was through{words}"


def _status(error: BaseException) -> Status:
    if isinstance(error, CellError):
        return error.status  # type: ignore[return-value]
    return "oom" if out_of_memory(error) else "failed"
