"""The entry of a cell's own process: nothing that happens in it goes further than its outcome."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from harness.measure import memory_limit
from harness.measure.board import Board
from harness.measure.nvml_device import first_visible
from harness.records.parts import PhaseName
from harness.records.schema import Outcome
from harness.runs.events import Ended, Event, PhaseStarted, Progress
from harness.runs.log import open_log
from harness.runs.outcomes import outcome_of_error
from harness.runs.process_tree import die_with_parent

PROGRESS_SECONDS = 0.1
OOM_SCORE = Path("/proc/self/oom_score_adj")
FIRST_TO_GO = "1000"


@dataclass(frozen=True)
class Order:
    """What a cell's process is told. cell: pickled, so that a class which cannot be loaded is the cell's failure.

    environ: the environment variables of the run; the fork server's are those of its own start. board: where the cell shows
    its sampler how far it is. sampler_seconds: the longest that the cell waits for its sampler to begin.
    """

    cell: bytes
    folder: Path
    device: str
    shared: Path
    environ: dict[str, str]
    board: Board
    sampler_seconds: float = 60.0


def work(order: Order, events: Connection, watched: Connection) -> None:
    """Runs one cell and reports through `events`; the last event is `Ended`. Output goes to the cell's log.txt.

    watched: becomes readable when the sampler has seen this process and the device as they were before.
    """
    join_the_run(order)
    # the fork server's own method is handed down: a data loader's workers would wait for a second server and its imports
    multiprocessing.set_start_method("fork", force=True)
    faulthandler.enable(all_threads=True)
    # a cell that is ended for taking too long leaves in its log where it was
    faulthandler.register(signal.SIGTERM, all_threads=True, chain=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if not watched.poll(order.sampler_seconds):  # a driver that hangs would keep it for ever
        print(f"the telemetry sampler has not begun within {order.sampler_seconds:g} s; the cell goes on without it", flush=True)
    reporter = Reporter(events)
    reporter(Ended(_run(order, reporter)))
    events.close()


def watch(order: Order, pid: int, telemetry: Path, period_ms: float, stop: Connection, watched: Connection) -> None:
    """The entry of a cell's sampler process: samples the process `pid` until `stop`; writes `telemetry`."""
    from harness.measure.sampler import sample

    join_the_run(order)
    sample(pid, telemetry, period_ms, stop, order.device, watched, order.board)


def join_the_run(order: Order) -> None:
    """What every process of a cell does first: a session of its own, dying with the server, output to the log.

    When memory runs out, the kernel takes the larger of them and neither the server nor the run.
    """
    from harness.runs.preload import ENVIRONMENT, PRELOADED_IN

    os.setsid()
    die_with_parent(PRELOADED_IN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    log = open_log(order.folder)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with contextlib.suppress(OSError):  # not Linux, or a sandbox: then the kernel chooses as it likes
        OOM_SCORE.write_text(FIRST_TO_GO)
    os.environ.clear()
    os.environ.update(ENVIRONMENT | order.environ | visible_devices(order))
    tempfile.tempdir = None  # asked of TMPDIR again: the server's is not the cell's


def visible_devices(order: Order) -> dict[str, str]:
    """What a cell's environment says of the cards that it may use: of several the first alone.

    It is the one that the sampler looks at, and the one that times and memory are told of; of all that they saw, transformers' Trainer would
    use each for a batch of its own (nn.DataParallel), and gptqmodel quantize on each.
    """
    if order.device != "cuda":
        return {}
    return {"CUDA_VISIBLE_DEVICES": first_visible(order.environ.get("CUDA_VISIBLE_DEVICES"))}


class Reporter:
    """Sends events to the parent, progress at most ten times a second, and remembers the phase."""

    def __init__(self, events: Connection) -> None:
        self.phase: PhaseName | None = None
        self._events = events
        self._progress_at = 0.0

    def __call__(self, event: Event) -> None:
        """Sends one event."""
        if isinstance(event, PhaseStarted):
            self.phase = event.phase
        if isinstance(event, Progress) and event.done < event.total:
            now = time.monotonic()
            if now - self._progress_at < PROGRESS_SECONDS:
                return
            self._progress_at = now
        self._events.send(event)


def _run(order: Order, reporter: Reporter) -> Outcome:
    try:
        from harness.runs.cell import run_cell

        run_cell(pickle.loads(order.cell), order.folder, order.device, reporter, order.shared, order.board)
    except BaseException as error:  # whatever it was, it ended this cell and no other
        memory_limit.release()
        outcome = outcome_of_error(error, reporter.phase)
        with contextlib.suppress(OSError):  # a disk that is full has no room for the log either
            traceback.print_exc()
        return outcome
    return Outcome(status="ok")
