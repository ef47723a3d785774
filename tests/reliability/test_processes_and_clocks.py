"""What surrounds a cell goes wrong: its sampler dies, hangs or never begins, the wall clock is set back, the harness is replaced while it runs."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from collected import Collected
from drill_cells import ROOT, drill_cell, harness_command, harness_environment, write_model, write_suite
from test_faults_in_phases import Site, faulty_cell, run, site  # noqa: F401 - site is a fixture

from harness.measure.board import Board
from harness.runs import forkserver
from harness.runs.events import Ended, PhaseStarted
from harness.runs.executors.base import Work
from harness.runs.executors.local import LocalExecutor
from harness.runs.stop import Stop
from harness.runs.worker import Order, work

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PATIENCE = 400.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_sampler_that_dies_or_hangs_costs_its_telemetry_and_not_the_cell(tmp_path: Path, number: signal.Signals, ledger: Callable[..., None]) -> None:
    def strike(cell: Any, event: Any) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "evaluate":
            server = next(child for child in psutil.Process().children() if any("forkserver" in word for word in child.cmdline()))
            sampler = max(child.pid for child in server.children())  # forked behind the cell
            os.kill(sampler, number)

    begun, collected = time.monotonic(), Collected(strike)
    LocalExecutor().run(Work([drill_cell(write_model(tmp_path / "tiny"), seconds=1.0)], tmp_path / "run", "cpu", 1), collected, Stop())
    (execution,) = collected.ended.values()
    assert execution.outcome.status == "ok", execution.outcome
    assert "the telemetry sampler failed; the cell's log.txt says why" in execution.notes
    assert execution.telemetry is None
    assert not list((tmp_path / "run").rglob(".*.tmp"))
    ledger(area="processes", check=f"{number.name} to the sampler in the middle of a cell", tried=1, survived=1, seconds=time.monotonic() - begun, note="cell ok, noted in its record")


def test_a_sampler_that_never_begins_does_not_keep_the_cell(tmp_path: Path, ledger: Callable[..., None]) -> None:
    cell = drill_cell(write_model(tmp_path / "tiny"))
    events, send = forkserver.context().Pipe(duplex=False)
    watched, never = forkserver.context().Pipe(duplex=False)
    (tmp_path / "cell").mkdir()
    order = Order(pickle.dumps(cell), tmp_path / "cell", "cpu", tmp_path / "shared", dict(os.environ), Board("cpu"), sampler_seconds=0.5)
    process = forkserver.fork(work, order, send, watched)
    send.close()
    last: Any = None
    while not isinstance(last, Ended):
        assert events.poll(PATIENCE), "the cell waits for ever"
        last = events.recv()
    process.join()
    never.close()
    assert last.outcome.status == "ok"
    assert "the telemetry sampler has not begun within 0.5 s" in (tmp_path / "cell" / "log.txt").read_text()
    ledger(area="processes", check="a sampler that never begins", tried=1, survived=1, note="the cell goes on after `Order.sampler_seconds`")


def test_a_wall_clock_that_is_set_back_in_a_cell_changes_no_duration(site: Site, ledger: Callable[..., None]) -> None:  # noqa: F811
    cell = faulty_cell(site, "train", "clock", quantized=False)
    cell = replace(cell, config=replace(cell.config, train=cell.config.train.model_copy(update={"logging_steps": 1})))
    begun = time.monotonic()
    record = run(site, [cell])[cell.id]
    took = time.monotonic() - begun
    assert record.outcome.status == "ok", record.outcome
    assert all(0 <= seconds <= took for seconds in record.timing.phases.values())
    assert 0 < (record.finished - record.started).total_seconds() <= took
    assert record.training is not None
    assert record.training.tokens_per_second is None or record.training.tokens_per_second > 0
    lines = [json.loads(line) for line in (site.run / "cells" / cell.id / "training.jsonl").read_text().splitlines()]
    assert all(0 <= one["seconds"] <= other["seconds"] <= took for one, other in pairwise(lines))
    assert all(entry.ttft_ms.p50 > 0 for entry in record.latency)
    ledger(area="processes", check="the wall clock is set back by a day in the middle of training", tried=1, survived=1, seconds=took)


def test_a_harness_that_is_replaced_while_it_runs_is_refused(tmp_path: Path, ledger: Callable[..., None]) -> None:
    copy, log = tmp_path / "site" / "harness", tmp_path / "ledger"
    shutil.copytree(ROOT / "harness", copy, ignore=shutil.ignore_patterns("__pycache__"))
    log.touch()
    tasks = [{"name": name, "seconds": seconds, "ledger": str(log)} for name, seconds in {"first": 0.0, "long": 600.0, "last": 0.0}.items()]
    suite = write_suite(tmp_path, write_model(tmp_path / "tiny"), tasks)
    environment = harness_environment()
    environment["PYTHONPATH"] = environment["PYTHONPATH"].replace(str(ROOT), str(copy.parent), 1)
    command = harness_command("run", suite, "--out", tmp_path / "run")
    begun = time.monotonic()
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while "long begun" not in log.read_text():
            assert time.monotonic() - begun < PATIENCE
            time.sleep(0.1)
        schema = copy / "records" / "schema.py"
        schema.write_text(schema.read_text().replace("SCHEMA_VERSION = 1", "SCHEMA_VERSION = 2"))
        server = next(child for child in psutil.Process(process.pid).children() if any("forkserver" in word for word in child.cmdline()))
        server.kill()  # it takes the long cell along, and has to be started again for the last one
        said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    assert "cells would run in harness 0.1.0 (source " in said
    assert "it was changed meanwhile; repeat the command to go on" in said
    assert "last begun" not in log.read_text(), "no cell ran in another harness than the run's"
    outcomes = {record["cell"]["task"]: record["outcome"] for record in map(json.loads, (path.read_text() for path in (tmp_path / "run" / "records").iterdir()))}
    assert outcomes["first"]["status"] == "ok"
    assert outcomes["long"]["message"] == "the fork server was killed, and the cell with it"
    ledger(area="processes", check="the harness on disk gets another record schema, and the fork server dies", tried=1, survived=1, seconds=time.monotonic() - begun, note="refused, exit code 1, records kept")
