"""Two `harness run` at the same time: on one directory the second waits and goes on; from one cache weights are quantized once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from drill_cells import write_model, write_suite
from twelve_cells import PATIENCE, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

Ledger = Callable[..., None]
ROUNDED = {"id": "rounded", "scheme": "rounded", "calibration": {"texts": ["yes yes yes yes"], "samples": 1, "length": 4}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that loads in no time."""
    return write_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """Two persons' places."""
    with ExitStack() as stack:
        yield stack.enter_context(Place.made(tmp_path / "first")), stack.enter_context(Place.made(tmp_path / "second"))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The file in which cells note that they have begun and that they are done, and schemes that they have quantized."""
    file = tmp_path / "notes"
    file.touch()
    return file


def counting(place: Place, model: Path, notes: Path, **seconds: float) -> Path:
    """A suite with a cell of that length for each name, written in that place; lengths do not make other cells."""
    return write_suite(place.folder, model, [{"name": name, "seconds": length, "ledger": str(notes)} for name, length in seconds.items()])


def wait_for(text: str, file: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not file.exists() or text not in file.read_text():
        assert time.monotonic() < deadline, f"no {text!r} in {PATIENCE} s: {file.exists() and file.read_text()}"
        time.sleep(0.05)


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((run / "records").glob("*.json"))]


def end_well(*processes: subprocess.Popen[bytes]) -> None:
    assert [process.wait(PATIENCE) for process in processes] == [0] * len(processes)


def test_of_two_runs_started_at_once_one_waits_and_no_cell_runs_twice(
    places: tuple[Place, Place], model: Path, notes: Path, ledger: Ledger
) -> None:
    begun, (first, second) = time.monotonic(), places
    suite = counting(first, model, notes, a=0.0, b=2.0, c=0.0)
    end_well(first.start("run", suite, "--out", first.run), second.start("run", suite, "--out", first.run))
    assert sorted(notes.read_text().splitlines()) == sorted(f"{name} {what}" for name in "abc" for what in ("begun", "done"))
    said = sorted((first.output.read_text(), second.output.read_text()), key=lambda text: "finished before" in text)
    assert "3 of 3 cells: 3 ok\n" in said[0]
    assert "3 of 3 cells: 3 ok, 3 of them finished before" in said[1]
    assert "is in use by process" in said[1]
    assert "waiting for its end" in said[1]
    assert (first.run / "report.md").is_file()
    assert not list(first.run.rglob("*.tmp"))
    ledger(area="two at once", check="two runs of one directory, started at once", tried=1, survived=1, seconds=time.monotonic() - begun)


def test_a_run_that_waits_takes_over_when_the_other_is_killed(places: tuple[Place, Place], model: Path, notes: Path, ledger: Ledger) -> None:
    begun, (first, second) = time.monotonic(), places
    killed = first.start("run", counting(first, model, notes, a=0.0, b=600.0, c=0.0), "--out", first.run)
    wait_for("b begun", notes)
    waits = second.start("run", counting(second, model, notes, a=0.0, b=0.0, c=0.0), "--out", first.run)
    refused = second.start("run", second.folder / "drills.yaml", "--out", first.run, "--no-wait")
    assert refused.wait(PATIENCE) == 1
    wait_for("waiting for its end", second.output)
    finished = records(first.run)
    killed.kill()
    end_well(waits)
    assert f"in use by process {killed.pid} on " in second.output.read_text()
    assert "3 of 3 cells: 3 ok, 1 of them finished before" in second.output.read_text()
    assert [record["cell"]["task"] for record in finished] == ["a"]
    assert finished[0] in records(first.run)
    assert notes.read_text().split("\n")[:-1] == ["a begun", "a done", "b begun", "b begun", "b done", "c begun", "c done"]
    assert first.wait_until_alone(20.0) == []
    ledger(area="two at once", check="a run waits for another of the same directory, which is then killed", tried=1, survived=1, seconds=time.monotonic() - begun)


def test_ctrl_c_ends_the_waiting_and_not_the_run_that_is_waited_for(places: tuple[Place, Place], model: Path, notes: Path) -> None:
    first, second = places
    suite = counting(first, model, notes, a=600.0)
    runs = first.start("run", suite, "--out", first.run)
    wait_for("a begun", notes)
    waits = second.start("run", suite, "--out", first.run)
    wait_for("waiting for its end", second.output)
    os.killpg(waits.pid, signal.SIGINT)
    assert waits.wait(PATIENCE) == 1
    assert "Traceback" not in second.output.read_text()
    assert runs.poll() is None
    runs.kill()
    runs.wait()


def quantizing(place: Place, model: Path, notes: Path, seconds: float) -> Path:
    """A suite of one cell whose weights take that long to quantize."""
    scheme = ROUNDED | {"seconds": seconds, "ledger": str(notes)}
    return write_suite(place.folder, model, [{"name": "a"}], quantization=[scheme])


def test_two_runs_with_one_cache_quantize_a_checkpoint_once(places: tuple[Place, Place], model: Path, notes: Path, ledger: Ledger) -> None:
    begun, first = time.monotonic(), places[0]
    end_well(*(place.start("run", quantizing(place, model, notes, 3.0), "--out", place.run, cache=first.cache) for place in places))
    assert notes.read_text() == "1 samples\n"
    assert sorted(record["quantization"]["cost"]["here"] for place in places for record in records(place.run)) == [False, True]
    ledger(area="two at once", check="two runs of two directories with one cache quantize a checkpoint once", tried=1, survived=1, seconds=time.monotonic() - begun)


def test_a_run_that_waits_for_weights_makes_them_when_the_other_is_killed(
    places: tuple[Place, Place], model: Path, notes: Path, ledger: Ledger
) -> None:
    begun, (first, second) = time.monotonic(), places
    killed = first.start("run", quantizing(first, model, notes, 600.0), "--out", first.run, cache=first.cache)
    wait_for("quantize", first.output)
    waits = second.start("run", quantizing(second, model, notes, 0.0), "--out", second.run, cache=first.cache)
    wait_for("quantize", second.output)
    killed.kill()
    end_well(waits)
    (record,) = records(second.run)
    assert record["quantization"]["cost"]["here"]
    assert notes.read_text() == "1 samples\n"
    quantized = first.cache / "quantized"
    assert len([path for path in quantized.iterdir() if path.name != ".locks"]) == 1, "the entry, and nothing half-written"
    assert [path.suffix for path in (quantized / ".locks").iterdir()] == [".lock"]
    assert first.held_locks() == []
    ledger(area="two at once", check="a run waits for another that quantizes the same checkpoint, which is then killed", tried=1, survived=1, seconds=time.monotonic() - begun)
