"""Claims on cells that have no record: while one is missing they are open, whatever the others show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from record_factory import metric, record, write_run

from harness.analysis.claims import CheckedClaim, check_claim
from harness.analysis.columns import rows
from harness.analysis.run import read_run
from harness.records.schema import Record
from harness.report.write import write_report
from harness.suite.schema import Claim

PLACE = {"model": "tiny", "quantization": "none", "method": "lora", "task": "rte", "seed": 2}
NF4 = {"metric": "accuracy", "where": {"quantization": "nf4"}}
BETTER = {"left": NF4, "relation": ">", "right": {"metric": "accuracy", "where": {"quantization": "none", "method": "lora"}}}


def cells(**accuracies: float) -> list[Record]:
    return [record(quantization=name, seed=seed, metrics=[metric(value=value + seed / 100)]) for name, value in accuracies.items() for seed in (0, 1)]


def check(records: Sequence[Record], *absent: dict[str, Any], **claim: Any) -> CheckedClaim:
    return check_claim(rows(records), Claim.model_validate({"id": "c", "source": "a paper"} | claim), absent)


def test_a_claim_is_open_while_a_cell_of_either_side_has_no_record() -> None:
    records = cells(nf4=0.8, none=0.6)
    assert check(records, **BETTER).verdict == "reproduced"
    for side in ("nf4", "none"):
        found = check(records, PLACE | {"quantization": side}, **BETTER)
        assert (found.verdict, found.sentence) == ("inconclusive", f"Not all of its cells have a record: tiny / {side} / lora / rte / seed 2.")


def test_a_missing_cell_that_the_claim_compares_with_nothing_does_not_count() -> None:
    records = cells(nf4=0.8, none=0.6)
    for elsewhere in ({"quantization": "int8"}, {"quantization": "nf4", "method": "full"}, {"quantization": "none", "method": "full"}, {"quantization": "nf4", "model": "large"}):
        assert check(records, PLACE | elsewhere, **BETTER).verdict == "reproduced", elsewhere


def test_pairs_that_are_missing_whole_count() -> None:
    pair = [PLACE | {"quantization": name, "model": "large"} for name in ("nf4", "none")]
    found = check(cells(nf4=0.8, none=0.6), *pair, **BETTER)
    assert found.verdict == "inconclusive"
    assert "tiny" not in found.sentence


def test_a_missing_cell_of_a_task_that_has_not_the_number_does_not_count() -> None:
    other = [record(quantization=name, task="text", metrics=[metric("perplexity", value=9.0)]) for name in ("nf4", "none")]
    records = [*cells(nf4=0.8, none=0.6), *other]
    assert check(records, PLACE | {"quantization": "nf4", "task": "text"}, **BETTER).verdict == "reproduced"


@pytest.mark.parametrize(
    "claim",
    [
        {"left": {"metric": "accuracy"}, "relation": "increases", "over": "train.learning_rate"},
        {"left": {"metric": "accuracy"}, "relation": ">", "right": 0.1},
        {"left": {"metric": "accuracy", "where": {"train.learning_rate": 0.4}}, "relation": "best", "right": {"metric": "accuracy", "where": {"train.learning_rate": "*"}}},
    ],
)
def test_trends_numbers_and_groups_wait_for_their_cells_too(claim: dict[str, Any]) -> None:
    records = [record(seed=seed, sweep={"train.learning_rate": rate}, metrics=[metric(value=rate + seed / 100)]) for rate in (0.2, 0.4) for seed in (0, 1)]
    assert check(records, **claim).verdict == "reproduced"
    assert check(records, PLACE | {"train.learning_rate": 0.8}, **claim).verdict == "inconclusive"
    assert check(records, PLACE | {"train.learning_rate": 0.8}, PLACE | {"train.learning_rate": 0.9}, **claim).sentence.endswith("learning_rate=0.9.")


def test_what_does_not_compare_stays_so() -> None:
    records = [record(quantization=name, metrics=[metric(protocol=name)]) for name in ("nf4", "none")]
    assert check(records, PLACE | {"quantization": "nf4"}, **BETTER).verdict == "not comparable"


SUITE = """
name: pair
models: [{id: tiny, source: micro:encoder}]
quantization: [none, {id: nf4, scheme: bnb-nf4}]
methods: [lora]
tasks: [{id: rte, task: glue/rte, data: micro}]
seeds: [0, 1]
claims:
  - {id: better, source: nobody, left: {metric: accuracy, where: {quantization: nf4}}, relation: ">", right: {metric: accuracy, where: {quantization: none}}}
"""


def test_a_record_cut_in_half_leaves_its_claim_open_in_the_report(tmp_path: Path) -> None:
    records = cells(nf4=0.8, none=0.6)
    folder = write_run(tmp_path / "run", records, SUITE)
    places = {each.cell.id: PLACE | {"quantization": each.cell.quantization, "seed": each.cell.seed} for each in records}
    (folder / "run.json").write_text(json.dumps({"suite": "pair", "planned": places}))
    half = folder / "records" / f"{records[1].cell.id}.json"
    half.write_text(half.read_text()[:200])
    assert read_run(folder).absent == (places[records[1].cell.id],)
    write_report(folder)
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "1 planned cell without a record" in text
    assert "Not all of its cells have a record: tiny / nf4 / lora / rte / seed 1." in text


def test_ids_alone_of_an_older_run_tell_how_many_are_missing_and_no_places(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", cells(none=0.6), SUITE)
    (folder / "run.json").write_text(json.dumps({"suite": "pair", "planned": [*(each.cell.id for each in cells(none=0.6)), "later"]}))
    run = read_run(folder)
    assert (run.waiting, run.absent) == (1, ())
