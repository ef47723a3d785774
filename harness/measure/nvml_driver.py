"""The one way to NVML: every call to the driver's library passes through a `Driver`, so that it can be recorded and played back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from harness.measure.nvml_player import PlayedDriver, read_trace

TRACE_VARIABLE = "HARNESS_NVML_TRACE"


class Driver(Protocol):
    """Who answers NVML's calls. note: what a record must tell of the answers; None where the driver itself gives them."""

    note: str | None

    def call(self, function: str, *arguments: Any) -> Any:
        """What that function of pynvml returns; raises one of `refusals()`."""


class Library:
    """The installed driver, asked through pynvml."""

    def __init__(self) -> None:
        import pynvml

        self.note: str | None = None
        self._library = pynvml

    def call(self, function: str, *arguments: Any) -> Any:
        """pynvml's own answer; a function that this pynvml does not have is one that the driver does not have."""
        known = getattr(self._library, function, None)
        if known is None:
            raise self._library.NVMLError(self._library.NVML_ERROR_FUNCTION_NOT_FOUND)
        return known(*arguments)


def open_driver(cell: int | None = None) -> Driver:
    """The installed driver, or the player of the trace that $HARNESS_NVML_TRACE names.

    cell: the process that is told as the cell's own where a trace is played; None: this process. Raises RequestError
    for a variable that names no trace.
    """
    trace = os.environ.get(TRACE_VARIABLE)
    if not trace:
        return Library()
    return PlayedDriver(read_trace(Path(trace)), cell if cell is not None else os.getpid())


def refusals() -> tuple[type[Exception], ...]:
    """What pynvml raises where the driver refuses."""
    import pynvml

    return pynvml.NVMLError, pynvml.NVMLLibraryMismatchError
