"""Run directories read back: what counts, what is left out, and why."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from record_factory import START, metric, record, write_run

from harness.analysis.run import read_run
from harness.errors import NotARun, RequestError
from harness.records.schema import SCHEMA_VERSION
from harness.records.store import RecordStore

SUITE = """
name: pair
title: Two schemes
models: [{id: tiny, source: micro:encoder}]
quantization: [bnb-fp4, none]
methods: [none, lora]
tasks: [{id: rte, task: glue/rte, data: micro}]
seeds: [1, 0]
"""


def test_a_directory_without_records_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match="not a run directory"):
        read_run(tmp_path)


def test_rows_come_in_the_suites_order(tmp_path: Path) -> None:
    records = [record(quantization=scheme, seed=seed) for scheme in ("none", "bnb-fp4") for seed in (0, 1)]
    run = read_run(write_run(tmp_path / "run", records, SUITE))
    assert run.title == "Two schemes"
    assert [(row.axes["quantization"], row.axes["seed"]) for row in run.rows] == [("bnb-fp4", 1), ("bnb-fp4", 0), ("none", 1), ("none", 0)]


def test_damaged_and_newer_records_are_named_and_the_others_count(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [record(), record(seed=1), record(seed=2)], SUITE.replace("[1, 0]", "[0, 1, 2]"))
    store = RecordStore(folder)
    half, newer = (store.path(record(seed=seed).cell.id) for seed in (1, 2))
    half.write_text(half.read_text()[:200])
    newer.write_text(json.dumps(json.loads(newer.read_text()) | {"schema_version": SCHEMA_VERSION + 1}))
    run = read_run(folder)
    assert [row.axes["seed"] for row in run.rows] == [0]
    reasons = {damaged.path: damaged.reason for damaged in run.damaged}
    assert "cannot be read" in reasons[half]
    assert "newer than this harness reads" in reasons[newer]


def test_of_two_versions_of_a_cell_the_later_one_counts(tmp_path: Path) -> None:
    early = record(metrics=[metric(value=0.1)])
    late = record(metrics=[metric(value=0.9)], started=START + timedelta(hours=1), finished=START + timedelta(hours=2))
    run = read_run(write_run(tmp_path / "run", [early, late], SUITE))
    assert [row.readings["accuracy"].value for row in run.rows] == [0.9]
    assert [left.row.record.cell.id for left in run.left_out] == [early.cell.id]


def test_only_planned_cells_count_where_the_plan_is_known(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [record(), record(seed=1)], SUITE)
    (folder / "run.json").write_text(json.dumps({"suite": "pair", "planned": [record().cell.id, "later"]}))
    run = read_run(folder)
    assert [row.axes["seed"] for row in run.rows] == [0]
    assert [left.row.axes["seed"] for left in run.left_out] == [1]
    assert run.waiting == 1


def test_records_that_the_suite_no_longer_names_don_t_count(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", [record(), record(method="ia3"), record(sweep={"train.learning_rate": 0.1})], SUITE))
    assert [row.axes["method"] for row in run.rows] == ["lora"]
    assert sorted(left.reason for left in run.left_out) == [
        "the suite no longer has the method ia3",
        "the suite no longer has the train.learning_rate 0.1",
    ]


def test_without_its_suite_a_run_still_has_its_records(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", [record()]))
    assert (run.name, len(run.rows)) == ("tests", 1)
    with pytest.raises(RequestError, match=r"suite\.yaml is missing"):
        run.require_suite()


def test_a_suite_that_is_no_longer_valid_costs_its_layout_only(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", [record()], "name: [broken"))
    assert len(run.rows) == 1
    assert "cannot be read" in str(run.suite_problem)
