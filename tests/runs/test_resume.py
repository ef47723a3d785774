"""Which cells run again when a run is repeated."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from drill_cells import drill_cell

from harness.errors import RequestError
from harness.records.schema import Environment, Outcome, Record
from harness.records.store import RecordStore
from harness.runs.resume import label_path, remaining, select, set_aside

WHERE = Environment(device="cpu", python="3.11", platform="Linux", host="here", harness="0.1")


def record(cell: Any, status: str = "ok", **outcome: Any) -> Record:
    now = datetime.now(UTC)
    return Record(
        cell=cell.record_part(), outcome=Outcome(status=status, **outcome), environment=WHERE, started=now, finished=now
    )


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    """The records of an empty run."""
    return RecordStore(tmp_path)


@pytest.fixture
def cell(tmp_path: Path) -> Any:
    """A cell that is never run here."""
    return drill_cell(tmp_path, name="a")


@pytest.mark.parametrize("status", ["ok", "oom", "diverged", "unsupported"])
def test_a_result_is_not_found_again(store: RecordStore, cell: Any, status: str) -> None:
    store.write(record(cell, status, phase="load"))
    left = remaining([cell], store, fresh=False)
    assert left.cells == []
    assert [found.status for found in left.finished] == [status]


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_a_failure_is_tried_again_and_counted(store: RecordStore, cell: Any, status: str) -> None:
    store.write(record(cell, status, retries=1, phase="train", message="no more"))
    left = remaining([cell], store, fresh=False)
    assert left.cells == [cell]
    assert left.before[cell.id].retries == 2
    assert [(each.status, each.phase, each.message) for each in left.before[cell.id].earlier] == [(status, "train", "no more")]


def test_a_damaged_record_is_none(store: RecordStore, cell: Any) -> None:
    store.write(record(cell)).write_text('{"schema_version": 1, "ce')
    assert remaining([cell], store, fresh=False).cells == [cell]


def test_fresh_runs_all_again(store: RecordStore, cell: Any) -> None:
    store.write(record(cell, "failed", retries=4))
    left = remaining([cell], store, fresh=True)
    assert (left.cells, left.before) == ([cell], {})


def test_what_the_plan_refused_runs_once_it_is_supported(store: RecordStore, cell: Any) -> None:
    store.write(record(cell, "unsupported", message="needs the package gptqmodel, which is not installed"))
    assert remaining([cell], store, fresh=False).cells == [cell]
    assert remaining([replace(cell, unsupported="needs it still")], store, fresh=False).cells == []


def test_a_renamed_axis_value_keeps_its_result_under_the_new_name(store: RecordStore, cell: Any) -> None:
    store.write(record(cell))
    renamed = replace(cell, labels=replace(cell.labels, method="a-better-name"))
    assert remaining([renamed], store, fresh=False).cells == []
    found = store.read(cell.id)
    assert found is not None
    assert found.cell.method == "a-better-name"
    assert found.cell.config == cell.config.to_json()


def test_only_matches_ids_and_label_paths(tmp_path: Path) -> None:
    cells = [drill_cell(tmp_path, "error"), drill_cell(tmp_path, "sleep"), drill_cell(tmp_path, "nothing")]
    assert label_path(cells[0]) == "tiny/none/drill-error/counting/0"
    assert select(cells, []) == cells
    assert select(cells, ["*/drill-s*"]) == [cells[1]]
    assert select(cells, ["nothing-x", "tiny/*/drill-error/*"]) == [cells[0], cells[2]]
    with pytest.raises(RequestError, match=r"--only \*/lora/\*: no cell of the plan matches; a cell here is tiny/none/drill-error"):
        select(cells, ["*/drill-s*", "*/lora/*"])


def test_records_that_the_suite_no_longer_has_are_set_aside_and_come_back(store: RecordStore, tmp_path: Path) -> None:
    old, new = drill_cell(tmp_path, name="old"), drill_cell(tmp_path, name="new")
    store.write(record(old))
    assert set_aside(store, [new]) == [old.id]
    assert store.read(old.id) is None
    assert (tmp_path / "superseded" / f"{old.id}.json").exists()
    assert set_aside(store, [old, new]) == []
    assert store.read(old.id) is not None
