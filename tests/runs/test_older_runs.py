"""Runs made by a harness whose cell ids meant something else: their records are set aside, never mixed with new ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from silent import Silent

from harness.analysis.run import read_run
from harness.runs.run import RunOptions, RunSummary, run_suite
from harness.suite import identity
from harness.suite.load import load_suite

# Perplexity of an encoder is unsupported: records, and no process.
SUITE = "name: older\nmodels: [micro:encoder]\nmethods: [none]\ntasks: [{task: wikitext2, data: micro}]\nseeds: [0, 1]\n"


def run(folder: Path, out: Path | None) -> tuple[RunSummary, list[str]]:
    suite = folder / "suite.yaml"
    suite.write_text(SUITE)
    display = Silent()
    summary = run_suite(load_suite(suite), RunOptions(out=out, device="cpu", results=folder / "results"), display)
    return summary, display.notes


def test_records_of_version_1_are_set_aside_with_the_reason_and_their_cells_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as then:
        then.setattr(identity, "IDENTITY_VERSION", 1)
        run(tmp_path, out)
    older = {path.stem for path in (out / "records").glob("*.json")}
    assert {id_[:3] for id_ in older} == {"c1-"}
    assert len(read_run(out).rows) == 2, "a report of the old run still reads it"

    summary, notes = run(tmp_path, out)

    assert (summary.reused, summary.statuses["unsupported"]) == (0, 2)
    assert {path.stem for path in (out / "superseded").glob("*.json")} == older
    assert [note for note in notes if "superseded" in note] == [
        "2 records were made by a harness whose cells had other ids (c1-..., now c2-...), because they meant something else: "
        "they were moved to superseded/, and their cells run again"
    ]
    assert {path.stem[:3] for path in (out / "records").glob("*.json")} == {"c2-"}
    assert run(tmp_path, out)[0].reused == 2


def test_an_unfinished_run_of_version_1_is_not_gone_on_with_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as then:
        then.setattr(identity, "IDENTITY_VERSION", 1)
        first, _ = run(tmp_path, None)
    next((first.run / "records").glob("*.json")).unlink()
    second, notes = run(tmp_path, None)
    assert second.run != first.run
    assert notes == [f"{first.run} is not finished, and cannot go on: its cells' ids are of another version of the harness; they run anew here"]
    assert len(list((first.run / "records").glob("*.json"))) == 1, "it is left as it is"
