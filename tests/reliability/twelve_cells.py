"""A suite of twelve cells as cheap as they can be, in a folder of its own, and all that one run of it leaves there."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from drill_cells import harness_command, harness_environment

SUITE = """
name: twelve
models: [{id: micro, source: "micro:decoder"}]
quantization: [none, {id: int4, scheme: simulated, data_type: int4}]
methods: [none, full, layernorm]
tasks: [{id: wikitext2, task: wikitext2, data: micro, max_eval_samples: 1}]
seeds: [0, 1, 2]
train: {max_steps: 1, per_device_train_batch_size: 2, max_length: 32, learning_rate: 1e-2}
measure: {warmup_steps: 0}
exclude: [{method: [full, layernorm], quantization: int4}]
report: {tables: [{rows: [method, quantization], columns: [task], metric: perplexity}], plots: []}
"""
CELLS = 12
FINISHED = ("ok", "oom", "diverged", "unsupported")
PATIENCE = 600.0  # seconds; a run that takes longer hangs
MARKER = "HARNESS_TEST_PLACE"  # in the environment of every process of a run, by inheritance
MEASURED = (  # what differs from run to run though nothing has changed: columns whose name has one of these words
    "time", "timing", "memory", "peak", "_ms", "[ms]", "/s", "_per_second", "data_wait", "started", "finished", "retries", "seconds", "cost.", "energy", "notes", "step p50",
)  # fmt: skip
RESULTS = ("cell", "metrics", "parameters", "sizes", "data", "base", "probe")


@dataclass(frozen=True)
class Place:
    """A folder with the suite, the run and the cache, and one for the temporary files of that run alone: short, as sockets are made in it."""

    folder: Path
    temporary: Path

    @classmethod
    @contextmanager
    def made(cls, folder: Path) -> Iterator[Place]:
        """The folders, new; afterwards that with temporary files is gone."""
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix="twelve-") as temporary:
            place = cls(folder, Path(temporary))
            place.suite.write_text(SUITE)
            yield place

    @property
    def suite(self) -> Path:
        return self.folder / "twelve.yaml"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def output(self) -> Path:
        """What all commands here have said."""
        return self.folder / "output.txt"

    def start(self, *arguments: str | Path, cache: Path | None = None) -> subprocess.Popen[bytes]:
        """`harness` with these arguments, by default the run, in a session of its own as in a terminal. cache: by default the place's own."""
        given = arguments or ("run", self.suite, "--out", self.run, "--device", "cpu")
        own = {"HARNESS_CACHE": str(cache or self.cache), "TMPDIR": str(self.temporary), MARKER: str(self.folder)}
        environment = harness_environment() | own
        with self.output.open("ab") as output:
            return subprocess.Popen(
                harness_command(*given), cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def records(self) -> dict[str, bytes]:
        """Every record file, by cell id."""
        return {path.stem: path.read_bytes() for path in (self.run / "records").glob("*.json")}

    def finished(self) -> dict[str, tuple[str, ...]]:
        """Finished cells by id: hashes of the record and of all that is in the cell's folder. Raises ValueError for half a record."""
        found = {}
        for cell_id, record in self.records().items():
            if json.loads(record)["outcome"]["status"] in FINISHED:
                files = sorted(path for path in (self.run / "cells" / cell_id).rglob("*") if path.is_file())
                found[cell_id] = tuple(hashlib.sha256(content).hexdigest() for content in (record, *(path.read_bytes() for path in files)))
        return found

    def processes(self) -> list[psutil.Process]:
        """All processes on the machine that belong to a command started here, whoever their parent is now."""
        return [process for process in psutil.process_iter() if _belongs(process, self.folder)]

    def wait_until_alone(self, seconds: float) -> list[psutil.Process]:
        """The processes that are left when none is, or after that time."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def held_locks(self) -> list[Path]:
        """Lock files that somebody holds."""
        return [path for path in (*self.run.rglob(".lock"), *self.cache.rglob("*.lock")) if _held(path)]

    def files(self) -> set[str]:
        """Names of all files and folders of the run, the cache and the temporary folder, but for the one that torch keeps for each user."""
        places = {"run": self.run, "cache": self.cache, "tmp": self.temporary}
        found = {f"{name}/{path.relative_to(top)}" for name, top in places.items() for path in top.rglob("*")}
        return {name for name in found if not name.startswith("tmp/torchinductor_")}

    def results(self) -> dict[str, Any]:
        """All that does not depend on time and memory, by cell id: what it measured of quality, and its losses, to the last digit."""
        found = {}
        for cell_id, record in self.records().items():
            values = json.loads(record)
            training = values["training"] or {}
            found[cell_id] = {name: values[name] for name in RESULTS} | {
                "status": values["outcome"]["status"],
                "training": {name: training.get(name) for name in ("steps", "tokens", "samples", "final_loss")},
                "tuned": [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((self.run / "cells" / cell_id).rglob("*.safetensors"))],
            }
        return found

    def tables(self) -> dict[str, list[dict[str, str]]]:
        """The final tables without what times and memory decide."""
        return {path.name: list(_lasting(path)) for path in (self.run / "tables").glob("*.csv") if path.name not in ("notes.csv", "answer.csv")}


def _belongs(process: psutil.Process, folder: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
            return False
        return process.environ().get(MARKER) == str(folder) or any(str(folder / "run") in word for word in process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _held(path: Path) -> bool:
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


def _lasting(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield {name: value for name, value in row.items() if not any(word in name for word in MEASURED)}
