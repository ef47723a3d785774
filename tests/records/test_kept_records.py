"""Records of every shape that a harness has written: read, reported, added to a history, and gone on with or set aside as docs say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.analysis.run import read_run
from harness.cli.app import app
from harness.records.schema import SCHEMA_VERSION, Record
from harness.records.store import RecordStore
from harness.records.upgrade import STEPS
from harness.suite.identity import IDENTITY_VERSION

KEPT = Path(__file__).parent / "fixtures"
RUNS = sorted((folder for folder in KEPT.iterdir() if folder.is_dir()), key=lambda folder: json.loads(next((folder / "records").glob("*.json")).read_text())["started"])
CELLS = 3


@pytest.fixture(params=[pytest.param(run, marks=[] if run in (RUNS[0], RUNS[-1]) else pytest.mark.slow, id=run.name) for run in RUNS])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the run, to be written into."""
    return Path(shutil.copytree(request.param, tmp_path / request.param.name))


def harness(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_every_schema_version_and_every_version_of_ids_is_kept() -> None:
    names = [run.name.split("-") for run in RUNS]
    assert {int(schema.removeprefix("v")) for schema, *_ in names} == set(range(1, SCHEMA_VERSION + 1))
    assert {int(ids.removeprefix("c")) for _, ids, _ in names} == set(range(1, IDENTITY_VERSION + 1))
    assert set(STEPS) == set(range(1, SCHEMA_VERSION)), "a step from each version to the next"


def test_the_newest_of_them_has_every_part_of_a_record_that_there_is_today() -> None:
    """A part that was added is kept before it is released: see fixtures/README.md."""
    record = json.loads(next((RUNS[-1] / "records").glob("*.json")).read_text(encoding="utf-8"))
    today = Record.model_validate(record)
    assert set(record) == set(Record.model_fields)
    assert set(record["outcome"]) == set(type(today.outcome).model_fields)
    assert set(record["environment"]) == set(type(today.environment).model_fields)
    assert set(record["memory"]) == set(type(today.memory).model_fields)


@pytest.mark.parametrize("run", RUNS, ids=lambda folder: folder.name)
def test_all_records_are_read_with_what_they_say(run: Path) -> None:
    records, damaged = RecordStore(run).read_all()
    assert damaged == []
    assert len(records) == CELLS
    by_place = {(record.cell.model, record.cell.task): record for record in records}
    classifier, language = by_place["micro-encoder", "sst2"], by_place["micro-decoder", "wikitext2"]
    assert by_place["micro-encoder", "wikitext2"].outcome.status == "unsupported"
    for record, name in ((classifier, "accuracy"), (language, "perplexity")):
        assert record.outcome.status == "ok"
        assert {metric.when for metric in record.metrics if metric.name == name} == {"before", "after"}
        assert record.training is not None
        assert record.training.steps == 4
        assert record.memory.peak_vram_source == "host_rss"
    assert language.latency[0].tpot_ms is not None
    assert language.cell.quantization == "bnb-nf4"


def test_a_report_and_a_comparison_with_itself_are_made_of_them(kept: Path) -> None:
    assert harness("report", kept).exit_code == 0
    text = (kept / "report.md").read_text(encoding="utf-8")
    assert "micro-decoder" in text
    assert "Perplexity" in text
    assert harness("compare", kept, kept).exit_code == 0


def test_they_enter_a_history(kept: Path, tmp_path: Path) -> None:
    run = read_run(kept)
    assert len(run.rows) == CELLS
    assert harness("history", "add", kept, tmp_path / "history.sqlite").exit_code == 0


def test_a_run_goes_on_with_records_whose_ids_mean_the_same_and_sets_others_aside(kept: Path) -> None:
    found = harness("run", kept / "suite.yaml", "--dry-run", "--device", "cpu", "--out", kept)
    assert found.exit_code == 0, found.output
    last = found.stdout.splitlines()[-1]
    if kept.name.split("-")[1] == f"c{IDENTITY_VERSION}":
        assert last == "would run 0 cells; 0 unsupported; 3 finished before (2 ok, 1 unsupported); nothing was written"
    else:
        assert last == "would run 2 cells; 1 unsupported; 0 finished before; 3 records would be moved to superseded/; nothing was written"
