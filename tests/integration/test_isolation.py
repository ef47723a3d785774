"""`harness run` as a person runs it: killed, stopped, repeated, twice at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from drill_cells import harness_command, harness_environment, write_model, write_suite

PATIENCE = 250.0  # a busy machine imports torch slowly

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that loads in no time."""
    return write_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """The file in which cells note that they have begun and that they are done."""
    file = tmp_path / "ledger"
    file.touch()
    return file


@pytest.fixture
def suite(tmp_path: Path, model: Path, ledger: Path) -> Path:
    """Two quick cells, one of ten minutes, and one more."""
    seconds = {"first": 0.0, "second": 0.0, "long": 600.0, "last": 0.0}
    return write_suite(tmp_path, model, [{"name": name, "seconds": s, "ledger": str(ledger)} for name, s in seconds.items()])


def hasten(suite: Path) -> None:
    """Makes the long cell a short one, which is no other cell: how long it takes is not part of what it is."""
    suite.write_text(suite.read_text().replace("seconds: 600.0", "seconds: 0.0"))


def run(suite: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        harness_command("run", suite, *arguments), cwd=suite.parent, env=harness_environment(), text=True, capture_output=True, timeout=PATIENCE
    )


@contextmanager
def started(suite: Path, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A run in the background, in a process group of its own as a shell would give it."""
    process = subprocess.Popen(
        harness_command("run", suite, *arguments), cwd=suite.parent, env=harness_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(line: str, ledger: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while line not in ledger.read_text().splitlines():
        assert time.monotonic() < deadline, f"no {line!r} in {PATIENCE} s"
        time.sleep(0.05)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All descendants of the run: the fork server, the cell, its sampler, multiprocessing's tracker."""
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def records(out: Path) -> dict[str, dict]:
    return {record["cell"]["task"]: record for record in map(json.loads, (path.read_text() for path in (out / "records").glob("*.json")))}


def test_a_killed_run_resumes_without_repeating_a_cell(suite: Path, ledger: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with started(suite, "--out", out) as process:
        wait_for("long begun", ledger)
        relatives = family(process)
        process.kill()
        process.wait()
        assert len(relatives) >= 4, "the fork server, its tracker, the cell and its sampler"
        assert_gone(relatives)
    assert set(records(out)) == {"first", "second"}
    hasten(suite)

    result = run(suite, "--out", out)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 of 4 cells: 4 ok, 2 of them finished before" in result.stdout
    assert ledger.read_text().split("\n")[:-1] == [
        "first begun", "first done", "second begun", "second done", "long begun", "long begun", "long done", "last begun", "last done",
    ]  # fmt: skip
    assert (out / "report.md").is_file()
    assert not list(out.rglob(".*.tmp"))


@pytest.mark.slow
def test_a_second_run_is_refused_and_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(
    suite: Path, ledger: Path, tmp_path: Path
) -> None:
    with started(suite) as process:
        wait_for("long begun", ledger)
        second = run(suite, "--no-wait")
        assert second.returncode == 1
        assert f"in use by process {process.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        relatives = family(process)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "stopping" in output
    assert "repeat the command to go on" in output
    assert "Traceback" not in output
    assert_gone(relatives)
    (out,) = (tmp_path / "results" / "drills").iterdir()
    assert set(records(out)) == {"first", "second"}
    hasten(suite)

    result = run(suite)  # without --out: the newest unfinished run of the suite is gone on with

    assert result.returncode == 0, result.stdout + result.stderr
    assert [out] == list((tmp_path / "results" / "drills").iterdir())
    assert "2 of them finished before" in result.stdout


@pytest.mark.slow
def test_ctrl_c_twice_ends_at_once_even_where_the_cell_does_not_listen(model: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, model, [{"name": "a"}], faults=["nothing", "stubborn"])
    out = tmp_path / "run"
    with started(suite, "--out", out) as process:
        assert process.stdout is not None
        while "drill-stubborn" not in (line := process.stdout.readline()) or "attach" not in line:
            assert line, "the run ended"
        relatives = family(process)
        process.terminate()  # as good as a first Ctrl-C
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE)
    assert "stopping at once" in output
    assert process.returncode == 1
    assert "Traceback" not in output
    assert_gone(relatives)
    assert len(records(out)) == 1
    assert not list(out.rglob("*.tmp"))


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A control group with little memory; skips where none can be made."""
    group = Path("/sys/fs/cgroup/memory/harness-drill")
    if os.geteuid() != 0 or not (group.parent / "memory.limit_in_bytes").exists():
        pytest.skip("needs the right to make a memory control group (version 1)")
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(3 * 2**29))
        yield group
    finally:
        deadline = time.monotonic() + 60  # the fork server goes a moment after the run
        while (group / "cgroup.procs").read_text():
            assert time.monotonic() < deadline, "a process of the run is left"
            time.sleep(0.1)
        group.rmdir()


@pytest.mark.slow
def test_the_kernels_oom_killer_takes_the_cell_and_not_the_run(model: Path, tmp_path: Path, little_memory: Path) -> None:
    suite = write_suite(tmp_path, model, [{"name": "a"}], faults=["hog", "kill", "nothing"])
    command = harness_command("run", suite, "--out", tmp_path / "run")
    enter = f"echo $$ > {little_memory}/cgroup.procs && exec \"$@\""
    result = subprocess.run(
        ["sh", "-c", enter, "sh", *command], cwd=tmp_path, env=harness_environment(), text=True, capture_output=True, timeout=PATIENCE
    )
    assert "3 of 3 cells: 1 ok, 1 oom, 1 failed" in result.stdout, result.stdout + result.stderr
    assert "oom in attach: killed by the kernel: the host is out of memory" in result.stdout
    assert "failed in attach: killed by signal 9 (SIGKILL)" in result.stdout, "a kill that was not the kernel's is told apart"


@pytest.mark.slow
def test_faults_of_a_third_partys_method_found_by_its_entry_point(model: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, model, [{"name": "a"}], faults=["nothing", "segfault", "petabyte", "unsupported"])
    result = run(suite, "--out", tmp_path / "run", "--jobs", "2")
    assert result.returncode == 1, "a segfault is a failure"
    assert "4 of 4 cells: 1 ok, 1 oom, 1 unsupported, 1 failed" in result.stdout
    again = run(suite, "--out", tmp_path / "run", "--only", "*/drill-petabyte/*", "--only", "*/drill-nothing/*")
    assert again.returncode == 0, "out of memory is a result"
    assert "2 of 2 cells: 1 ok, 1 oom, 2 of them finished before" in again.stdout
