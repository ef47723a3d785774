"""A disk that gets full, wherever a run happens to be writing: nothing half-written, a clear end, and the run goes on once there is room."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from drill_cells import write_model
from small_disks import disk, remount

from harness.cli import app
from harness.records.store import RecordStore

DISKS = int(os.environ.get("HARNESS_DISKS", "12"))
ROOM = "size=64m"
PAGE = 4096

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

Harness = Callable[..., tuple[int, str]]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Harness:
    """The command line in this process: its exit code and all that it has said."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            app.main()
        said = capfd.readouterr()
        return int(stop.value.code or 0), said.out + said.err

    return run


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two cells that write at every place where a cell can: quantized weights, shared evaluations, an adapter, merged models, losses."""
    monkeypatch.setenv("COLUMNS", "1000")
    model = write_model(tmp_path / "tiny")
    values = {
        "name": "narrow",
        "models": [{"id": "tiny", "source": f"path:{model}"}],
        "quantization": [{"scheme": "simulated", "group_size": 8}],
        "methods": [{"method": "lora", "r": 2}],
        "tasks": [{"task": "wikitext2", "data": "micro", "max_train_samples": 4, "max_eval_samples": 2}],
        "seeds": [0, 1],
        "train": {"max_steps": 3, "max_length": 16, "per_device_train_batch_size": 2, "logging_steps": 1},
        "measure": {"forms": ["unmerged", "merged-requantized"]},
    }
    path = tmp_path / "narrow.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def assert_whole(folder: Path) -> None:
    """Every file under its final name is what its name says, to the end; logs and losses are written line by line."""
    import pyarrow.parquet
    from safetensors import safe_open

    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".yaml":
                assert yaml.safe_load(path.read_text())["tasks"]
            elif path.suffix == ".parquet":
                pyarrow.parquet.read_table(path)
            elif path.suffix == ".safetensors":
                with safe_open(path, "pt") as file:
                    assert file.keys()
            elif path.suffix == ".sqlite":
                with sqlite3.connect(path) as connection:
                    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            elif path.suffix in (".md", ".csv", ".svg") and path.parent.name != "adapter":  # PEFT's README ends without a line break
                assert path.read_text().endswith("\n")
        except Exception as error:
            raise AssertionError(f"{path.relative_to(folder)} is half-written: {error}") from error
    assert not list(folder.rglob(".*.tmp")), "no temporary file is left"


def values_of(run: Path) -> dict[tuple[Any, ...], float | None]:
    """Every metric of every cell that is through."""
    records, damaged = RecordStore(run).read_all()
    assert damaged == []
    assert all(record.outcome.status == "ok" for record in records), [record.outcome for record in records]
    return {(record.cell.id, metric.name, metric.when): metric.value for record in records for metric in record.metrics}


def finished(run: Path) -> dict[str, str]:
    """The records of cells that are through, as they lie on the disk."""
    if not (run / "records").is_dir():
        return {}
    texts = {path.name: path.read_text() for path in (run / "records").glob("*.json")}
    return {name: text for name, text in texts.items() if json.loads(text)["outcome"]["status"] == "ok"}


def test_a_disk_that_gets_full_anywhere_in_a_run(suite: Path, harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Callable[..., None]) -> None:
    begun, ends, kept = time.monotonic(), dict.fromkeys(("run", "cell", "none"), 0), 0

    def harness_run(place: Path) -> tuple[int, str]:
        monkeypatch.setenv("HARNESS_CACHE", str(place / "cache"))
        return harness("run", suite, "--out", place / "run", "--history", place / "history.sqlite")

    with disk(tmp_path / "disk", ROOM) as roomy:
        code, said = harness_run(roomy)
        assert code == 0, said
        expected, taken = values_of(roomy / "run"), os.statvfs(roomy)
        used = (taken.f_blocks - taken.f_bfree) * taken.f_frsize
    assert len({key[2] for key in expected}) == 3, "before, after, merged-requantized"
    for number in range(DISKS):
        size = PAGE * max(1, round(used * (number + 0.5) / DISKS / PAGE))
        with disk(tmp_path / "disk", f"size={size}") as small:
            code, said = harness_run(small)
            assert code == 1 or size > used * 0.9, (size, used, said)
            assert "Traceback" not in said, said
            if code == 1:
                assert str(small) in said, said
                assert "No space left on device" in said or "the disk is full" in said, said
                ends["cell" if "cells: " in said else "run"] += 1
            else:
                ends["none"] += 1
            assert_whole(small)
            before = finished(small / "run")
            kept += len(before)

            remount(small, ROOM)
            code, said = harness_run(small)
            assert code == 0, (size, said)
            assert_whole(small)
            assert values_of(small / "run") == expected
            after = finished(small / "run")
            assert {name: after[name] for name in before} == before, "what was finished was not run again"
    ledger(
        area="disks", check="a disk that gets full somewhere in a run of two cells", tried=DISKS, survived=DISKS, seconds=time.monotonic() - begun,
        note=f"sizes over the {used // 1024:,} KiB that a run takes; {ends['run']} ended the run, {ends['cell']} a cell; {kept} finished records kept; all went on with room",
    )  # fmt: skip
