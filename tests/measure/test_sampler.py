"""The sampler, as a process beside real processes."""

from __future__ import annotations

import ast
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import psutil
import pytest
from measured_processes import MIB, python, sampler, wait_until

from harness.measure.phases import PhaseReading
from harness.measure.sampler import _ticks
from harness.measure.summary import label_phases, summarise
from harness.measure.telemetry import ROWS_IN_MEMORY, TelemetryFacts, TelemetryWriter, read_telemetry

ALLOCATE = """
import sys, time
def tell(what): print(what, time.monotonic(), flush=True)
sys.stdin.readline(); time.sleep(0.1)
tell('load'); time.sleep(0.5); tell('train')
block = bytearray(200 << 20); time.sleep(0.5); del block
tell('evaluate'); time.sleep(0.5); tell('end')
"""


def test_a_process_that_allocates_shows_it_in_the_phase_in_which_it_did(tmp_path: Path) -> None:
    child = python(ALLOCATE, stdin=subprocess.PIPE)
    path = tmp_path / "telemetry.parquet"
    watching = sampler(child.pid, path)
    told = [line.split() for line in child.communicate("go\n")[0].splitlines()]
    assert watching.wait(60) == 0
    readings = [
        PhaseReading(name, float(at), float(until))
        for (name, at), (_, until) in itertools.pairwise(told)
    ]
    memory, timing, _, notes = summarise(readings, path, "cpu")
    load, train, evaluate = (memory.phases[phase].host_rss or 0 for phase in ("load", "train", "evaluate"))
    assert 195 * MIB < train - load < 215 * MIB
    assert 195 * MIB < train - evaluate < 215 * MIB
    assert (memory.peak_vram, memory.peak_vram_source) == (train, "host_rss")
    assert timing.phases["train"] >= 0.5
    assert any("NVML readings are null" in note for note in notes)


def test_a_killed_process_leaves_whole_telemetry(tmp_path: Path) -> None:
    child = python("import time; block = bytearray(50 << 20); print('up', flush=True); time.sleep(60)")
    path = tmp_path / "telemetry.parquet"
    watching = sampler(child.pid, path)
    child.stdout.readline()
    time.sleep(0.3)
    child.send_signal(signal.SIGKILL)
    # Not waited for: a zombie is as dead to the sampler as one that is gone.
    assert watching.wait(60) == 0
    child.wait()
    rows = read_telemetry(path).columns
    assert numpy.nanmax(rows["host_rss"]) > 50 * MIB
    assert len(rows["at"]) > 10
    assert numpy.isnan(rows["host_rss"][-1])
    assert list(tmp_path.iterdir()) == [path]


def test_children_of_the_process_are_summed(tmp_path: Path) -> None:
    grandchild = "import time; block = bytearray(100 << 20); print('up', flush=True); time.sleep(60)"
    child = python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])")
    path = tmp_path / "telemetry.parquet"
    watching = sampler(child.pid, path)
    child.stdout.readline()
    time.sleep(1.5)
    (inner,) = psutil.Process(child.pid).children()
    watching.stdin.close()
    assert watching.wait(60) == 0
    inner.kill()
    child.wait()
    assert read_telemetry(path).columns["host_rss"][-1] > 100 * MIB


def test_ticks_do_not_drift(tmp_path: Path) -> None:
    child = python("import time; time.sleep(60)")
    path = tmp_path / "telemetry.parquet"
    watching = sampler(child.pid, path, period_ms=20)
    time.sleep(1.5)
    watching.stdin.close()
    assert watching.wait(60) == 0
    child.kill()
    child.wait()
    at = read_telemetry(path).columns["at"][:-1]
    # On a busy machine some readings are late; those that are not must lie on start + k * period to the last.
    late = (at[-20:] - at[0]) % 0.02
    assert late.min() < 0.005
    assert len(at) > 20


def test_missed_ticks_are_left_out_and_not_made_up_for() -> None:
    ticks = _ticks(0.02)
    next(ticks)
    time.sleep(0.07)
    first, second = next(ticks), next(ticks)
    assert 0 <= first <= 0.02
    assert 0 <= second <= first + 0.02


def test_no_duration_is_taken_by_a_clock_that_can_jump(root: Path) -> None:
    wall_clock = {"time": {"time", "time_ns", "localtime", "gmtime"}}
    found = [
        f"{path}:{node.lineno}"
        for path in sorted((root / "harness").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in wall_clock.get(node.value.id, ())
    ]
    assert found == [], "whatever is subtracted is of time.monotonic()"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_do_not_cost_the_telemetry(tmp_path: Path, number: signal.Signals) -> None:
    child = python("import time; time.sleep(60)")
    path = tmp_path / "telemetry.parquet"
    watching = sampler(child.pid, path)
    time.sleep(0.3)
    watching.send_signal(number)
    if number == signal.SIGINT:
        time.sleep(0.1)
        assert watching.poll() is None, "Ctrl-C is for the run, which then tells the sampler"
        watching.stdin.close()
    assert watching.wait(60) == 0
    child.kill()
    child.wait()
    assert len(read_telemetry(path).columns["at"]) > 5


def test_the_sampler_ends_with_its_parent(tmp_path: Path) -> None:
    child = python("import time; time.sleep(60)")
    path = tmp_path / "telemetry.parquet"
    # The reading end of `stop` stays open here: only the parent's death can tell.
    read, write = os.pipe()
    code = (
        "import subprocess, sys, time\n"
        f"command = [sys.executable, '-m', 'harness.measure.sampler', '--pid', '{child.pid}', '--out', {str(path)!r}]\n"
        f"print(subprocess.Popen(command, stdin={read}).pid, flush=True); time.sleep(60)"
    )
    parent = python(code, pass_fds=(read,))
    watching = psutil.Process(int(parent.stdout.readline()))
    wait_until(lambda: any(tmp_path.iterdir()))
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    wait_until(path.exists)
    wait_until(lambda: not watching.is_running() or watching.status() == psutil.STATUS_ZOMBIE)
    for descriptor in (read, write):
        os.close(descriptor)
    child.kill()
    child.wait()


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    watching = sampler(os.getpid(), tmp_path / "file" / "telemetry.parquet")
    _, error = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert error.decode().startswith("telemetry sampler: cannot write")
    assert len(error.decode().splitlines()) == 1


def test_a_process_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    child = python("")
    child.wait()
    path = tmp_path / "telemetry.parquet"
    assert sampler(child.pid, path).wait(60) == 0
    assert numpy.isnan(read_telemetry(path).columns["host_rss"]).all()


def test_rows_beyond_one_block_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.parquet"
    writer = TelemetryWriter(path)
    for tick in range(2 * ROWS_IN_MEMORY + 7):
        writer.append({"at": float(tick), "host_rss": tick * 2**33, "power_w": None})
    writer.close(TelemetryFacts(pid=1, period_ms=10, device="cpu", notes=["so"]))
    read = read_telemetry(path)
    assert list(read.columns["at"]) == list(range(2 * ROWS_IN_MEMORY + 7))
    assert read.columns["host_rss"][-1] == (2 * ROWS_IN_MEMORY + 6) * 2**33
    assert numpy.isnan(read.columns["power_w"]).all()
    assert read.facts.notes == ["so"]


def test_phases_are_labelled_in_place(tmp_path: Path, telemetry: Callable[..., Path]) -> None:
    import pandas

    path = telemetry([{"at": float(second), "host_rss": 1} for second in range(6)], notes=["kept"])
    label_phases(path, [PhaseReading("load", 1.0, 2.0), PhaseReading("train", 3.5, 9.0)])
    assert list(pandas.read_parquet(path)["phase"].fillna("-")) == ["-", "load", "load", "-", "train", "train"]
    label_phases(path, [PhaseReading("merge", 0.0, 9.0)])
    assert set(pandas.read_parquet(path)["phase"]) == {"merge"}
    assert read_telemetry(path).facts.notes == ["kept"]
    label_phases(tmp_path / "absent.parquet", [])
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_needs_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.measure.sampler"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--pid" in done.stderr
