"""Which directory a command means, and which it refuses."""

from __future__ import annotations

import json
import multiprocessing
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.errors import NotARun, RequestError, RunInUse
from harness.records.schema import CellPart, Environment, Outcome, Record
from harness.records.store import RecordStore
from harness.runs.directory import Contents, RunFacts, choose, opened, outdated

WHERE = Environment(device="cpu", python="3.11", platform="Linux", host="here", harness="0.1")


def facts(suite: str = "demo", profile: str | None = None, device: str = "cpu", planned: tuple[str, ...] = ("a", "b")) -> RunFacts:
    return RunFacts(suite=suite, profile=profile, device=device, planned=list(planned))


def make(run: Path, given: RunFacts, **statuses: str) -> None:
    """A run directory with a record of each given status by cell id."""
    with opened(run, Contents(given, f"name: {given.suite}\n", WHERE)) as store:
        for cell_id, status in statuses.items():
            store.write(record(cell_id, status))


def record(cell_id: str, status: Any) -> Record:
    now = datetime.now(UTC)
    part = CellPart(id=cell_id, suite="demo", model="m", quantization="q", method="x", task="t", seed=0)
    return Record(cell=part, outcome=Outcome(status=status), environment=WHERE, started=now, finished=now)


def test_out_is_the_directory_itself(tmp_path: Path) -> None:
    assert choose(facts(), tmp_path / "here", tmp_path, fresh=False) == tmp_path / "here"


def test_the_newest_unfinished_run_of_the_same_suite_is_gone_on_with(tmp_path: Path) -> None:
    make(tmp_path / "demo" / "2026-01-01_00-00-00", facts(), a="ok")
    make(tmp_path / "demo" / "2026-01-02_00-00-00", facts(), a="ok", b="failed")
    make(tmp_path / "demo" / "2026-01-03_00-00-00", facts(), a="ok", b="oom")
    make(tmp_path / "demo" / "2026-01-04_00-00-00", facts(profile="smoke"), a="ok")
    make(tmp_path / "demo" / "2026-01-05_00-00-00", facts(device="cuda"), a="ok")
    make(tmp_path / "demo" / "2026-01-06_00-00-00", facts(planned=("c", "d")), c="ok")
    (tmp_path / "demo" / "2026-01-07_00-00-00").mkdir()

    assert choose(facts(), None, tmp_path, fresh=False).name == "2026-01-02_00-00-00"
    assert choose(facts(profile="smoke"), None, tmp_path, fresh=False).name == "2026-01-04_00-00-00"
    assert not choose(facts(), None, tmp_path, fresh=True).exists()


def test_an_unfinished_run_whose_ids_are_of_another_version_is_left_alone_and_told(tmp_path: Path) -> None:
    now, then = facts(planned=("c2-1", "c2-2")), facts(planned=("c1-1", "c1-2"))
    make(tmp_path / "demo" / "2026-01-01_00-00-00", then, **{"c1-1": "ok"})
    assert not choose(now, None, tmp_path, fresh=False).exists()
    assert outdated(now, tmp_path) == tmp_path / "demo" / "2026-01-01_00-00-00"
    make(tmp_path / "demo" / "2026-01-02_00-00-00", facts(profile="smoke", planned=("c2-1",)))
    assert outdated(now, tmp_path) is not None, "a run of another profile says nothing"
    make(tmp_path / "demo" / "2026-01-03_00-00-00", now, **{"c2-1": "ok"})
    assert outdated(now, tmp_path) is None, "it has been begun anew already"
    assert outdated(facts("other"), tmp_path) is None


def test_a_finished_run_of_another_version_is_not_told(tmp_path: Path) -> None:
    make(tmp_path / "demo" / "2026-01-01_00-00-00", facts(planned=("c1-1",)), **{"c1-1": "ok"})
    assert outdated(facts(planned=("c2-1",)), tmp_path) is None


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path / "demo" / "2026-01-01_00-00-00", facts(), a="ok", b="unsupported")
    chosen = choose(facts(), None, tmp_path, fresh=False)
    assert chosen.parent == tmp_path / "demo"
    assert not chosen.exists()


def test_the_directory_says_whose_run_it_is(tmp_path: Path) -> None:
    make(tmp_path / "run", facts(profile="smoke"))
    assert (tmp_path / "run" / "suite.yaml").read_text() == "name: demo\n"
    assert Environment.model_validate_json((tmp_path / "run" / "environment.json").read_text()) == WHERE
    assert json.loads((tmp_path / "run" / "run.json").read_text())["profile"] == "smoke"


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (facts("other"), NotARun, "is a run of suite demo, and this is suite other"),
        (facts(profile="smoke"), NotARun, "this is suite demo with profile smoke"),
        (facts(device="cuda"), RequestError, "was run on cpu, and this would be on cuda"),
    ],
)
def test_another_run_is_refused_and_left_as_it_is(tmp_path: Path, given: RunFacts, error: type[Exception], said: str) -> None:
    run = tmp_path / "run"
    make(run, facts(), a="ok")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(error, match=said):
        make(run, given)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_strange_files_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(NotARun, match=r"is no run directory and not empty \(thesis.tex\)"):
        make(tmp_path, facts())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(NotARun, match="is a file"):
        make(tmp_path / "thesis.tex", facts())


def test_what_a_killed_run_left_half_written_is_no_obstacle_and_goes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".run.json.abc.tmp").write_text('{"sui')
    make(run, facts(), a="ok")
    (run / "records" / ".b.json.xyz.tmp").write_text("{")
    make(run, facts())
    assert not list(run.rglob("*.tmp"))
    assert RecordStore(run).read("a") is not None


def _hold(run: Path, held: Any, release: Any) -> None:
    with opened(run, Contents(facts(), "name: demo\n", WHERE)):
        held.set()
        release.wait(30)


def test_a_second_run_is_told_who_runs_and_a_dead_one_is_no_obstacle(tmp_path: Path) -> None:
    run = tmp_path / "run"
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(run, held, release))
    holder.start()
    assert held.wait(30)
    with pytest.raises(RunInUse, match=rf"run is in use by process {holder.pid} on {os.uname().nodename} since .*--out"):
        make(run, facts())
    holder.kill()
    holder.join()
    assert (run / ".holder.json").exists(), "it had no time to tidy up"
    make(run, facts(), a="ok")
    assert RecordStore(run).read("a") is not None
    assert not (run / ".holder.json").exists()
