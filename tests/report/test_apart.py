"""Work of a report in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from harness.errors import StorageError
from harness.report.apart import apart

pytestmark = pytest.mark.skipif(sys.platform != "linux" or (os.cpu_count() or 1) < 2, reason="needs Linux and a second core")


def _own_pid(path: Path) -> list[Path]:
    path.write_text(str(os.getpid()), encoding="utf-8")
    return [path]


def test_work_that_is_worth_it_is_done_in_another_process(tmp_path: Path) -> None:
    with apart(lambda: _own_pid(tmp_path / "pid"), worth_it=True) as files:
        assert files() == [tmp_path / "pid"]
    assert (tmp_path / "pid").read_text(encoding="utf-8") != str(os.getpid())


def test_little_work_stays_in_this_process(tmp_path: Path) -> None:
    with apart(lambda: _own_pid(tmp_path / "pid"), worth_it=False) as files:
        files()
    assert (tmp_path / "pid").read_text(encoding="utf-8") == str(os.getpid())


def test_an_error_in_the_other_process_arises_where_it_is_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    def full() -> list[Path]:
        raise StorageError("cannot write records.csv: No space left on device")

    with apart(full, worth_it=True) as files, pytest.raises(StorageError, match=r"records\.csv: No space left"):
        files()
    assert "Traceback" not in capfd.readouterr().err


def test_the_work_of_a_killed_process_is_done_by_whoever_waits(tmp_path: Path) -> None:
    here = os.getpid()

    def dies_elsewhere() -> list[Path]:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return _own_pid(tmp_path / "pid")

    with apart(dies_elsewhere, worth_it=True) as files:
        assert files() == [tmp_path / "pid"]
    assert (tmp_path / "pid").read_text(encoding="utf-8") == str(here)


def test_no_process_is_left_when_the_rest_fails(tmp_path: Path) -> None:
    def long() -> list[Path]:
        _own_pid(tmp_path / "pid")
        time.sleep(600)
        return []

    def fails_once_it_runs() -> None:
        with apart(long, worth_it=True):
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text(encoding="utf-8"):
                time.sleep(0.01)
            raise KeyError("the rest")

    with pytest.raises(KeyError):
        fails_once_it_runs()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), 0)
