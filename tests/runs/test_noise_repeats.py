"""`harness noise` for real: two cells of a micro model, twice, stopped between, and what is kept of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from noise_factory import noisy_run
from record_factory import record
from typer.testing import CliRunner

from harness.analysis.noise import measure_noise
from harness.cli.app import app
from harness.errors import RequestError
from harness.records.noise import NOISE, read_noise
from harness.records.schema import Record
from harness.records.store import RecordStore
from harness.runs.directory import RUN, RunFacts
from harness.runs.noise import choose_run, run_repeats
from harness.runs.resume import Finished
from harness.runs.run import RunOptions
from harness.suite.cell import Cell
from harness.suite.load import load_suite

SUITE = """
name: twice
models: [{id: tiny, source: "micro:decoder", dtype: float32}]
quantization: [none, {id: rtn, scheme: rtn-8bit, group_size: 16}]
methods: [none]
tasks: [{id: text, task: wikitext2, data: micro, max_eval_samples: 2}]
train: {max_length: 32}
"""

#: One trial answers both of its searches.
SEARCHED = """
name: searched
models: [{id: tiny, source: "micro:decoder", dtype: float32}]
methods: [{id: lora, method: lora, r: 4, target_modules: [q_proj]}]
tasks: [{task: synthetic, rows: 4}]
train: {max_steps: 2, max_length: 32, per_device_train_batch_size: 1}
measure: {warmup_steps: 0, fit: {batch_size: 1, max_length: 32}}
"""


class Watching:
    """A display that remembers which cells ran in which directory, and asks the run to stop after the given number of them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.ran: list[tuple[str, str]] = []
        self.stop_after = stop_after
        self.run = Path()

    @contextmanager
    def shown(self) -> Iterator[Watching]:
        yield self

    def begin(self, run: Path, cells: Sequence[Cell], finished: Sequence[Finished], jobs: int) -> None:
        self.run = run

    def cell_started(self, cell: Cell) -> None:
        pass

    def cell_event(self, cell: Cell, event: Any) -> None:
        pass

    def cell_recorded(self, cell: Cell, record: Record) -> None:
        self.ran.append((self.run.name, cell.labels.quantization))
        if len(self.ran) == self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    def cell_again(self, cell: Cell, record: Record, reason: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "twice.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def stopped(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watching, Watching, Any, Any]:
    """The results folder, what ran before a stop in the second repeat and after it, and what was returned."""
    results = tmp_path_factory.mktemp("results")
    before, after = Watching(stop_after=3), Watching()
    options = RunOptions(device="cpu", results=results)
    first = run_repeats(load_suite(suite), options, 2, before.shown)
    second = run_repeats(load_suite(suite), options, 2, after.shown)
    return results, before, after, first, second


def test_repeats_follow_one_another_and_a_stopped_one_goes_on_where_it_was(stopped: Any) -> None:
    results, before, after, first, second = stopped
    run = first.run.name
    both = {"none", "rtn"}
    assert ([where for where, _ in before.ran], {what for _, what in before.ran[:2]}) == ([run, run, "2"], both)
    assert (first.interrupted, first.exit_code) == (True, 1)
    assert after.ran == [("2", *(both - {before.ran[2][1]}))]
    assert second.run == first.run, "without --out the unfinished one is found again"
    assert (second.interrupted, second.exit_code) == (False, 0)
    assert second.run.parent == results / "twice" / "noise"


def test_every_repeat_evaluates_and_quantizes_for_itself(stopped: Any) -> None:
    run = stopped[-1].run
    for folder in (run, run / "noise" / "2"):
        records, damaged = RecordStore(folder).read_all()
        assert not damaged
        assert {record.outcome.status for record in records} == {"ok"}
        assert not any("another cell" in note for record in records for note in record.notes)
        (cost,) = [record.quantization.cost for record in records if record.quantization]
        assert cost is not None
        assert cost.here
        assert not (folder / "shared" / "quantized").exists(), "the weights are not kept"


def test_times_scatter_and_what_is_computed_on_a_cpu_repeats_exactly(stopped: Any) -> None:
    noise = measure_noise(stopped[-1].run)
    assert (noise.suite, noise.repeats, [cell.statuses for cell in noise.cells]) == ("twice", 2, [["ok", "ok"]] * 2)
    for cell in noise.cells:
        assert cell.quantities["timing.total"].floor > 0
        assert cell.quantities["perplexity"].floor == 0
        assert cell.quantities["sizes.model_bytes"].floor == 0
    assert any("quantization.seconds" in cell.quantities for cell in noise.cells)


def test_the_command_writes_floors_and_report_and_prints_them(stopped: Any, suite: Path) -> None:
    run = stopped[-1].run
    done = CliRunner().invoke(app, ["noise", str(suite), "--repeats", "2", "--device", "cpu", "--out", str(run)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert read_noise(run / NOISE).suite == "twice"
    assert "repeat 2: 2 of 2 cells ok, 2 of them before" in done.output
    assert "repeats exactly" in done.output
    report = (run / "report.md").read_text(encoding="utf-8")
    assert "## Noise floors" in report
    assert (run / "tables" / "noise.csv").is_file()


def test_what_fits_is_searched_in_the_first_repeat_alone(tmp_path: Path) -> None:
    path = tmp_path / "searched.yaml"
    path.write_text(SEARCHED)
    found = run_repeats(load_suite(path), RunOptions(device="cpu", results=tmp_path), 2, Watching().shown)
    assert (found.interrupted, found.exit_code) == (False, 0)
    first, second = (RecordStore(folder).read_all()[0] for folder in (found.run, found.run / "noise" / "2"))
    assert first[0].fit is not None
    assert len(first[0].fit.trials) == 1
    assert second[0].fit is None
    assert not (found.run / "noise" / "2" / "cells" / second[0].cell.id / "fit").exists()
    assert {status for cell in measure_noise(found.run).cells for status in cell.statuses} == {"ok"}


@pytest.mark.parametrize(("second", "again"), [("ok", False), ("oom", False), ("failed", True), ("timeout", True), (None, True)])
def test_without_out_what_may_yet_go_through_is_gone_on_with(suite: Path, tmp_path: Path, second: Any, again: bool) -> None:
    def cells(number: int) -> list[Record]:
        return [record(status=second if number and second else "ok")]

    run = noisy_run(tmp_path / "twice" / "noise" / "2026-01-01_00-00-00", cells, 2)
    if second is None:
        (run / NOISE).unlink()
    (run / RUN).write_text(RunFacts(suite="twice", profile=None, device="cpu", planned=[]).model_dump_json())
    chosen = choose_run(load_suite(suite), RunOptions(device="cpu", results=tmp_path))
    assert (chosen == run) is again
    assert chosen.parent == run.parent


@pytest.mark.parametrize("repeats", ["1", "0", "-3"])
def test_fewer_than_two_repeats_are_refused_before_anything_runs(suite: Path, tmp_path: Path, repeats: str) -> None:
    with pytest.raises(RequestError, match=f"--repeats {repeats}: .* at least 2"):
        CliRunner().invoke(app, ["noise", str(suite), "--repeats", repeats, "--out", str(tmp_path / "run")], catch_exceptions=False)
    assert not (tmp_path / "run").exists()
