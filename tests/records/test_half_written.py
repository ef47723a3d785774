"""Files on their way: gone when their writer is interrupted, swept when it was killed, left alone while it writes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from harness.records.store import remove_leftovers, write_atomically

WRITER = """
import os, signal, sys, time
from pathlib import Path
from harness.records import store
def stuck(descriptor):
    print("writing", flush=True)
    time.sleep(60)
os.fsync = stuck
store.write_atomically(Path(sys.argv[1]), "half")
"""


def test_what_a_killed_writer_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "record.json"], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        remove_leftovers(tmp_path)
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(".record.json.")
        writer.kill()
        writer.wait()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_interrupted_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "record.json", "whole")

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "record.json", "half")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"record.json": "whole"}


def test_nothing_but_files_on_their_way_is_swept(tmp_path: Path) -> None:
    (tmp_path / "notes.tmp").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / ".merged-abc.tmp").mkdir()
    os.mkfifo(tmp_path / ".pipe.tmp")
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_what_is_written_may_be_read_by_whoever_may_read_new_files(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "report.md", "for a colleague")
        os.umask(0o077)
        write_atomically(tmp_path / "private.md", "for nobody else")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("report.md", "private.md")] == [0o644, 0o600]
