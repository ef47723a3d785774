"""A disk that is full or read-only: one sentence, and what is finished stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from drill_cells import drill_cell
from silent import Silent
from small_disks import disk as small_disk

from harness.errors import StorageError
from harness.measure.environment import environment
from harness.records.store import RecordStore
from harness.runs.directory import Contents, RunFacts, opened
from harness.runs.executors.local import LocalExecutor
from harness.runs.run import Recorder
from harness.runs.stop import Stop


def test_a_full_disk_ends_the_run_and_keeps_its_records(tiny_model: Path, tmp_path: Path) -> None:
    cells = [drill_cell(tiny_model, name=f"n{number:02d}") for number in range(20)]
    with small_disk(tmp_path / "disk", "size=128k") as disk:
        store = RecordStore(disk)
        recorder = Recorder(disk, store, environment("cpu"), Silent(), jobs=1, selected=len(cells))
        with pytest.raises(StorageError, match=r"No space left on device.* records are kept in .*repeat the command to go on") as failed:
            recorder.go_on(cells, False, LocalExecutor(), Stop())
        kept, damaged = store.read_all()
        assert failed.value.exit_code == 1
        assert 0 < len(kept) < 20
        assert len(kept) == sum(recorder.summary.statuses.values())
        assert damaged == []
        assert not list(disk.rglob(".*.tmp"))


def test_a_read_only_directory_is_refused_in_one_sentence(tmp_path: Path) -> None:
    facts = RunFacts(suite="drills", profile=None, device="cpu", planned=["x"])
    with (
        small_disk(tmp_path / "disk", "ro") as disk,
        pytest.raises(StorageError, match=f"cannot write {disk / 'run'}: Read-only file system"),
        opened(disk / "run", Contents(facts, "name: drills\n", environment("cpu"))),
    ):
        pass
