"""Commands that write beside a run, killed at a drawn moment and repeated: what they write is whole, and nothing else is left.

HARNESS_KILLS_OF_COMMANDS: how often each is killed (default 3).
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from record_factory import metric, record, write_run
from twelve_cells import PATIENCE, Place

from harness.runs.directory import RunFacts

KILLS = int(os.environ.get("HARNESS_KILLS_OF_COMMANDS", "3"))
SUITE = """
name: pair
models: [{id: tiny, source: micro:encoder}]
quantization: [none]
methods: [none, lora]
tasks: [{id: rte, task: glue/rte, data: micro}]
seeds: [0, 1, 2]
"""
COMMANDS = {
    "report": ("report", "run", "--format", "md", "--format", "csv", "--format", "latex", "--format", "json", "--format", "html"),
    "baseline save": ("baseline", "save", "run", "main", "--replace"),
    "history add": ("history", "add", "run", "history.sqlite"),
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def with_a_run(place: Place) -> None:
    """A finished run of six cells in that place."""
    cells = [record(method=method, seed=seed, metrics=[metric(value=0.5 + seed / 10)]) for method in ("none", "lora") for seed in (0, 1, 2)]
    write_run(place.run, cells, SUITE)
    facts = RunFacts(suite="pair", profile=None, device="cpu", planned=[cell.cell.id for cell in cells])
    (place.run / "run.json").write_text(facts.model_dump_json())


def written(place: Place) -> dict[str, object]:
    """What is in the place, by name, but for what commands have said; of a history the rows, and of the others the number of lines:
    moments are in them."""
    found: dict[str, object] = {}
    for path in sorted(place.folder.rglob("*")):
        if path.is_file() and path != place.output:
            found[str(path.relative_to(place.folder))] = rows(path) if path.suffix == ".sqlite" else path.read_bytes().count(b"\n")
    return found


def rows(history: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(history)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("SELECT cell, quantity, value FROM history ORDER BY cell, quantity").fetchall()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_and_repeated_leaves_what_it_would_have(name: str, tmp_path: Path, ledger: Callable[..., None]) -> None:
    begun = time.monotonic()
    with Place.made(tmp_path / "place") as place:
        place.suite.unlink()
        with_a_run(place)
        started = time.monotonic()
        assert place.start(*COMMANDS[name]).wait(PATIENCE) == 0, place.output.read_text()
        seconds, expected = time.monotonic() - started, written(place)
        for seed in range(KILLS):
            for path in place.folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            with_a_run(place)
            process = place.start(*COMMANDS[name])
            time.sleep(random.Random(seed).uniform(0.3, 1.0) * seconds)  # before, it only imports
            process.kill()
            process.wait()
            assert place.start(*COMMANDS[name]).wait(PATIENCE) == 0, f"seed {seed}: {place.output.read_text()}"
            assert written(place) == expected, f"seed {seed}"
    ledger(area="kills", check=f"SIGKILL to harness {name}, which is then repeated", tried=KILLS, survived=KILLS, seconds=time.monotonic() - begun, note=f"seeds 0 to {KILLS - 1}")
