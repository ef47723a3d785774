"""The history file: what is added is there once, whole or not at all, and a file of another kind is left alone."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from record_factory import START, environment, metric, record

from harness.errors import DataError
from harness.records.history import (
    Appended,
    Entry,
    Number,
    append,
    check_history,
    facts_of,
    quantities_in,
    read_points,
)
from harness.records.schema import Git

ADD_AND_HANG = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_history_file import entry
from harness.records.history import Number, append

def entries():
    for day in range(300):  # more than SQLite keeps in memory: pages of the unfinished transaction are in the file
        yield entry(day=day + 100, numbers=tuple(Number(f"quantity {{at}} of a name so long that pages fill", float(at)) for at in range(300)))
    print("in the middle", flush=True)
    time.sleep(120)

append(Path({file!r}), entries())
"""


def entry(day: int = 0, value: float = 0.5, numbers: tuple[Number, ...] | None = None, **fields: object) -> Entry:
    moment = START + timedelta(days=day)
    found = record(metrics=[metric()], **({"started": moment, "finished": moment} | fields))
    found.cell.id = "c1-0123456789abcdef"
    return Entry(found, f"night-{day}", "tiny / none", "Test GPU", numbers or (Number("accuracy", value, 0.01, 277, "glue/x"),))


def test_what_was_added_is_read_back_in_the_order_of_time(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "history.sqlite"
    append(file, [entry(2, 0.7), entry(0, 0.5)])
    append(file, [entry(1, 0.6)])
    points = read_points(file, "accuracy")
    assert [point.value for point in points] == [0.5, 0.6, 0.7]
    assert (points[0].stderr, points[0].n, points[0].protocol, points[0].run) == (0.01, 277, "glue/x", "night-0")
    assert points[0].facts["torch"] == "2.13.0"
    assert quantities_in(file) == ["accuracy"]


def test_adding_the_same_record_twice_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    assert append(file, [entry(0), entry(1)]) == Appended(2, 0)
    before = file.read_bytes()
    assert append(file, [entry(0), entry(1)]) == Appended(0, 2)
    assert len(read_points(file, "accuracy")) == 2
    assert len(file.read_bytes()) == len(before)


def test_a_cell_that_did_not_go_through_is_kept_but_is_no_point(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    append(file, [entry(0), entry(1, outcome=record(status="oom").outcome)])
    assert [point.run for point in read_points(file, "accuracy")] == ["night-0"]
    assert sqlite3.connect(file).execute("SELECT status FROM records ORDER BY started").fetchall() == [("ok",), ("oom",)]


def test_an_entry_that_cannot_be_made_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    append(file, [entry(0)])

    def broken():  # type: ignore[no-untyped-def]
        yield entry(1)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        append(file, broken())
    assert len(read_points(file, "accuracy")) == 1


@pytest.mark.parametrize("nights", [0, 1])
def test_a_kill_in_the_middle_of_adding_costs_nothing_that_was_there(tmp_path: Path, nights: int) -> None:
    file = tmp_path / "history.sqlite"
    if nights:
        append(file, [entry(0)])
    child = subprocess.Popen(
        [sys.executable, "-c", ADD_AND_HANG.format(tests=str(Path(__file__).parent), file=str(file))],
        stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "in the middle\n"
    assert Path(f"{file}-journal").stat().st_size > 0, "the transaction was to be half in the file"
    child.send_signal(signal.SIGKILL)
    child.wait()
    check_history(file)
    if nights:
        assert [point.run for point in read_points(file, "accuracy")] == ["night-0"]
    assert sqlite3.connect(file).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert append(file, [entry(1)]) == Appended(1, 0)
    assert len(read_points(file, "accuracy")) == nights + 1


def test_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    append(file, [entry(0)])
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    for use in (lambda: append(file, [entry(1)]), lambda: read_points(file, "accuracy"), lambda: check_history(file)):
        with pytest.raises(DataError, match=r"version 7.*version 1"):
            use()


@pytest.mark.parametrize("content", [b"name: quickstart\n" * 100, b"{}"])
def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "suite.yaml"
    file.write_bytes(content)
    with pytest.raises(DataError, match="no history"):
        append(file, [entry(0)])
    assert file.read_bytes() == content


def test_somebody_elses_database_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE runs (id INTEGER)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(DataError, match="no history"):
        append(file, [entry(0)])
    assert file.read_bytes() == before


def test_a_file_that_is_not_there_is_said_to_be_missing_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no history file"):
        read_points(tmp_path / "none.sqlite", "accuracy")
    check_history(tmp_path / "none.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_facts_are_versions_by_name_and_leave_out_what_is_unknown() -> None:
    facts = facts_of(environment(gpu="H200", git=Git(commit="abc", dirty=True)))
    assert (facts["gpu"], facts["commit"], facts["peft"]) == ("H200", "abc with changes", "0.21.2")
    assert "driver" not in facts
