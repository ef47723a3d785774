"""Every phase of a cell's life runs out of memory, hangs and falls: the cell gets its outcome, the phase is named, the next cell runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from drill_cells import write_model
from phase_faults import EVALUATIONS, PROMPT_TOKENS, FaultyLora, FaultyRounding, FaultyRows
from silent import Silent

from harness.measure.environment import environment
from harness.models.base import ModelConfig
from harness.quantization.base import SCHEMES
from harness.records.parts import PhaseName
from harness.records.schema import Record
from harness.records.store import RecordStore
from harness.runs.executors.local import LocalExecutor
from harness.runs.run import Recorder
from harness.runs.stop import Stop
from harness.suite.cell import Cell, CellConfig, Labels
from harness.suite.settings import LatencySettings, LimitSettings, MeasureSettings, TrainSettings

pytestmark = pytest.mark.timeout(900)

#: Where a fault is planted: by name of the part of the cell that fails, and the phase that the record must name.
PLACES: dict[str, PhaseName] = {
    "load": "load", "quantize": "quantize", "evaluate": "evaluate", "check": "check", "attach": "attach", "train": "train", "check-after": "check",
    "evaluate-after": "evaluate", "generate": "generate", "merge": "merge", "evaluate_merged": "evaluate_merged", "requantize": "requantize",
    "evaluate_requantized": "evaluate_requantized",
}  # fmt: skip
HANG_SECONDS = 3.0


@dataclass(frozen=True)
class Site:
    """Where cells of the test run. model: its folder; traces: where children of a hung cell leave their pids."""

    run: Path
    model: Path
    traces: Path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A run directory, a cache of its own, a tiny model."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "traces").mkdir()
    return Site(tmp_path / "run", write_model(tmp_path / "tiny"), tmp_path / "traces")


def faulty_cell(site: Site, place: str, fault: str, quantized: bool = True) -> Cell:
    """A cell that is trained, timed, merged and quantized again, and fails in that place."""

    def told(*places: str) -> dict[str, Any]:
        return {"where": place, "fault": fault, "traces": str(site.traces)} if place in places else {}

    rounding = told("quantize", "requantize")
    if rounding:
        rounding["strikes"] = rounding.pop("fault")
    texts = {"texts": ["yes yes yes yes", "yes"], "samples": 2, "length": 4}
    rounded = FaultyRounding(scheme="rounded", calibration=texts, digits=len(place), **rounding)
    config = CellConfig(
        model=ModelConfig(source=f"path:{site.model}"),
        scheme=rounded if quantized else SCHEMES.get("none")(scheme="none"),
        method=FaultyLora(method="lora", r=2, **told("attach", "train", "generate", "merge")),
        task=FaultyRows(task="faulty", rows=8, evaluation_rows=4, **told("load", *EVALUATIONS)),
        train=TrainSettings(max_steps=4, max_length=8, per_device_train_batch_size=2),
        measure=MeasureSettings(
            latency=LatencySettings(prompt_tokens=PROMPT_TOKENS, new_tokens=2, repeats=1), forms=["unmerged", "merged", "merged-requantized"] if quantized else ["unmerged"]
        ),
        limits=LimitSettings(phase_seconds={PLACES[place]: HANG_SECONDS}) if fault == "hang" else LimitSettings(cell_seconds=120),
    )
    name = f"{fault}-{place}"
    return Cell(id=name, suite="faults", profile=None, labels=Labels("tiny", "rounded", name, "faulty", 0), config=config, untuned_ids=(name,))


def run(site: Site, cells: list[Cell]) -> dict[str, Record]:
    """Runs the cells one after the other in processes of their own, and reads their records."""
    store = RecordStore(site.run)
    Recorder(site.run, store, environment("cpu"), Silent(), jobs=1, selected=len(cells)).go_on(cells, False, LocalExecutor(), Stop())
    records, damaged = store.read_all()
    assert damaged == []
    assert {record.cell.id for record in records} == {cell.id for cell in cells}
    assert not list(site.run.rglob(".*.tmp"))
    return {record.cell.id: record for record in records}


def check_outcomes(site: Site, fault: str, places: list[str], status: str, words: str) -> None:
    """Every place gets that outcome in its own phase, and a cell without a fault runs through after all of them."""
    cells = [faulty_cell(site, place, fault) for place in places]
    whole = faulty_cell(site, "train", "nothing")
    records = run(site, [*cells, whole])
    for place, cell in zip(places, cells, strict=True):
        outcome = records[cell.id].outcome
        assert (outcome.status, outcome.phase) == (status, PLACES[place]), (place, outcome)
        assert outcome.message is not None
        assert words in outcome.message
        seconds = records[cell.id].timing.phases
        assert outcome.phase in seconds, "the phase it ended in is in the record"
    assert records[whole.id].outcome.status == "ok", records[whole.id].outcome
    assert set(records[whole.id].timing.phases) >= set(PLACES.values()) - {"quantize"}


@pytest.mark.slow
def test_memory_that_runs_out_in_any_phase_is_oom_in_that_phase(site: Site, ledger: Callable[..., None]) -> None:
    begun = time.monotonic()
    check_outcomes(site, "oom", list(PLACES), "oom", "can't allocate memory")
    ledger(area="faults in phases", check="an allocation fails", tried=len(PLACES), survived=len(PLACES), seconds=time.monotonic() - begun)


@pytest.mark.slow
def test_a_hang_in_any_phase_ends_by_its_limit_and_takes_its_children_along(site: Site, ledger: Callable[..., None]) -> None:
    begun = time.monotonic()
    check_outcomes(site, "hang", list(PLACES), "timeout", "took longer than limits.phase_seconds.")
    children = [int(trace.name) for trace in site.traces.iterdir()]
    assert len(children) == len(PLACES), "every hung cell had begun a child"
    assert not [pid for pid in children if psutil.pid_exists(pid)]
    ledger(area="faults in phases", check="a hang with a child process, ended by `limits.phase_seconds`", tried=len(PLACES), survived=len(PLACES), seconds=time.monotonic() - begun)


@pytest.mark.slow
def test_a_fall_of_an_extension_in_any_phase_is_a_failure_of_that_cell(site: Site, ledger: Callable[..., None]) -> None:
    begun = time.monotonic()
    check_outcomes(site, "segfault", list(PLACES), "failed", "killed by signal 11 (SIGSEGV)")
    for place in PLACES:
        log = (site.run / "cells" / f"segfault-{place}" / "log.txt").read_text()
        assert "Fatal Python error: Segmentation fault" in log, "where it fell is in the log"
        assert "phase_faults.py" in log
    ledger(area="faults in phases", check="a null pointer in native code", tried=len(PLACES), survived=len(PLACES), seconds=time.monotonic() - begun)


@pytest.mark.slow
@pytest.mark.parametrize("logging_steps", [1, 10])
def test_a_loss_that_is_no_number_is_diverged_with_its_own_step(site: Site, logging_steps: int, ledger: Callable[..., None]) -> None:
    cell = faulty_cell(site, "train", "nan", quantized=False)
    train = cell.config.train.model_copy(update={"max_steps": 6, "logging_steps": logging_steps})
    record = run(site, [replace(cell, config=replace(cell.config, train=train))])[cell.id]
    assert (record.outcome.status, record.outcome.phase) == ("diverged", "train")
    assert record.outcome.message == "the training loss is nan at step 3 of 6"
    ledger(area="faults in phases", check="a loss that is not a number, at step 3 of 6", tried=1, survived=1, note=f"logged every {logging_steps} steps")
