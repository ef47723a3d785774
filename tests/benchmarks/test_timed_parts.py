"""Parts of a check: each in its time, and what is said of one that was not."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from timed_parts import Clock, Part, PartResult, account_of_tests, run_part

INTERRUPTED = "import time\ntry:\n    print('at work', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('kept what there was')\n"


def run(code: str, ends: float, tmp_path: Path, stdout: Path | None = None) -> PartResult:
    part = Part("part", [sys.executable, "-c", code], ends, stdout)
    return run_part(part, Clock(time.monotonic()), tmp_path / "log", os.environ, tmp_path)


def test_what_a_part_prints_is_apart_from_its_errors_where_that_is_asked_for(tmp_path: Path) -> None:
    found = run("import sys; print('{}'); print('warning', file=sys.stderr)", 60, tmp_path, tmp_path / "out.json")
    assert (found.status, found.tail) == ("done", [])
    assert (tmp_path / "out.json").read_text() == "{}\n"
    assert (tmp_path / "log").read_text() == "warning\n"


def test_a_part_that_fails_tells_its_exit_code_and_its_last_lines(tmp_path: Path) -> None:
    found = run("print('before'); raise SystemExit('no room')", 60, tmp_path)
    assert (found.status, found.detail) == ("failed", "exit code 1")
    assert set(found.tail) == {"before", "no room"}


def test_a_part_is_interrupted_when_its_time_is_over_so_that_it_can_keep_what_it_has(tmp_path: Path) -> None:
    found = run(INTERRUPTED, 2, tmp_path)
    assert found.status == "stopped"
    assert found.tail == ["at work", "kept what there was"]
    assert found.seconds < 30


def test_a_part_for_which_no_time_is_left_is_not_started(tmp_path: Path) -> None:
    found = run("open('started', 'w')", 0, tmp_path)
    assert found.status == "not reached"
    assert not (tmp_path / "started").exists()


def test_pytests_account_is_read_with_names_and_reasons(tmp_path: Path) -> None:
    (tmp_path / "tests.xml").write_text(
        '<testsuites><testsuite><testcase classname="tests.a" name="good"/>'
        '<testcase classname="tests.a" name="bad"><failure message="assert 1 == 2&#10;more">trace</failure></testcase>'
        '<testcase classname="tests.a" name="broken"><error message="ImportError: no x">trace</error></testcase>'
        '<testcase classname="tests.a" name="left"><skipped message="hidden process"/></testcase></testsuite></testsuites>'
    )
    assert account_of_tests(tmp_path / "tests.xml") == {
        "passed": 1,
        "failed": {"tests.a::bad": ["assert 1 == 2"], "tests.a::broken": ["ImportError: no x"]},
        "skipped": {"tests.a::left": ["hidden process"]},
    }
