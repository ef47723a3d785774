"""A cell that tries its method out: what it leaves in its record, and `harness probe` from the suite to the map."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import Unsupported
from harness.needs import Machine
from harness.records.parts import CHECKS
from harness.records.schema import CellResult
from harness.records.store import RecordStore
from harness.runs.cell import run_cell
from harness.runs.events import Event, PhaseEnded, ResultSoFar
from harness.suite.compatibility import CompatibilityMap
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

ROOT = Path(__file__).parents[2]
TASKS = {"encoder": "{task: glue/sst2, data: micro}", "decoder": "{task: wikitext2, data: micro}"}
SUITE = """
name: probe
models: [{{source: "{model}", dtype: float32}}]
quantization: [{scheme}]
methods: [{method}]
tasks: [{task}]
train: {{per_device_train_batch_size: 3, max_length: 24}}
measure: {{probe: true}}
"""


def probed(folder: Path, method: str, kind: str = "encoder", scheme: str = "none") -> tuple[list[Event], BaseException | None]:
    """What the cell reported, run in this process, and what ended it early."""
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(model=f"micro:{kind}", method=method, scheme=scheme, task=TASKS[kind]))
    (cell,) = make_plan(load_suite(suite), Machine()).cells
    (folder / "cell").mkdir()
    events: list[Event] = []
    try:
        run_cell(cell, folder / "cell", "cpu", events.append, folder / "shared")
    except (RuntimeError, Unsupported) as error:
        return events, error
    return events, None


def result(events: list[Event]) -> CellResult:
    return [event.result for event in events if isinstance(event, ResultSoFar)][-1]


def failed(events: list[Event]) -> list[str]:
    return [f"{check.name}: {check.detail}" for check in result(events).probe or () if check.passed is False]


@pytest.mark.parametrize(("kind", "scheme"), [("encoder", "none"), ("decoder", "bnb-nf4"), ("decoder", "bnb-int8")])
def test_a_probe_loads_and_checks_and_does_nothing_else(kind: str, scheme: str, tmp_path: Path) -> None:
    events, error = probed(tmp_path, "{method: lora, r: 4}", kind, scheme)
    assert error is None
    assert [event.reading.phase for event in events if isinstance(event, PhaseEnded)] == ["load", "probe"]
    assert tuple(check.name for check in result(events).probe or ()) == CHECKS
    assert not failed(events)
    assert result(events).metrics == []
    assert result(events).training is None


def test_what_was_found_before_a_method_broke_is_kept(tmp_path: Path) -> None:
    events, error = probed(tmp_path, "{method: peft, peft_type: HRA}", "decoder", "bnb-nf4")
    assert isinstance(error, RuntimeError)
    assert [check.name for check in result(events).probe or ()] == ["counts"]


def test_a_method_that_mixes_what_comes_later_into_its_answers_is_found(tmp_path: Path) -> None:
    """PEFT's Lily weighs its experts by the mean over all positions, so that a token sees those behind it."""
    events, _ = probed(tmp_path, "{method: peft, peft_type: LILY}", "decoder")
    assert [line.partition(":")[0] for line in failed(events)] == ["generates", "pads"]


def test_what_tunes_nothing_cannot_be_tried(tmp_path: Path) -> None:
    _, error = probed(tmp_path, "none")
    assert isinstance(error, Unsupported)
    assert "tunes nothing" in str(error)


def test_only_a_probe_has_another_cell_id(tmp_path: Path) -> None:
    ids = []
    for number, probe in enumerate(("", "measure: {probe: false}", "measure: {probe: true}")):
        suite = tmp_path / f"{number}.yaml"
        suite.write_text(f"name: a\nmodels: [micro:encoder]\nmethods: [lora]\ntasks: [{TASKS['encoder']}]\n{probe}\n")
        ids += [cell.id for cell in make_plan(load_suite(suite), Machine()).cells]
    assert ids[0] == ids[1] != ids[2]


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", "harness", *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_smoke_profile_ends_in_a_map_where_all_works(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = harness("probe", "--profile", "smoke", "--out", str(out), "--device", "cpu", "--jobs", "2")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    records, _ = RecordStore(out).read_all()
    assert len(records) == 2 * 2 * 3
    found = CompatibilityMap.model_validate_json((out / "compatibility.json").read_bytes())
    assert {each.verdict for each in found.findings} == {"works"}, done.stdout[-2000:]
    assert "## llama" in (out / "compatibility.md").read_text(encoding="utf-8")
    assert "12 works" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("quickstart",), "measure: {probe: true}"), (("--profile", "smoke", "--docs", "docs"), "whole suite")],
)
def test_what_is_no_probe_and_half_a_map_are_refused_before_anything_runs(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = harness("probe", *arguments, "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "run").exists()
