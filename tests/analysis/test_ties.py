"""One meaning of a tie: in tables, in changes, in the short answer and in claims, with noise floors and without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from noise_factory import noisy_run
from record_factory import MIB, metric, record, write_run

from harness.analysis.answers import answer_table
from harness.analysis.claims import CheckedClaim, check_claim
from harness.analysis.columns import Row, describe, row
from harness.analysis.effects import paired_difference, paired_ratio
from harness.analysis.groups import AxisOrder, one_sample
from harness.analysis.noise import measure_noise, with_noise
from harness.analysis.run import read_run
from harness.analysis.schemes import scheme_table
from harness.analysis.statistics import Error, Sample, difference
from harness.analysis.table import Table
from harness.analysis.tables import result_table
from harness.analysis.tuning import tuning_table
from harness.records.schema import Record
from harness.suite.schema import Claim, TableLayout

ORDER = AxisOrder()
REPEATS = (10.0, 10.5, 9.5)  # standard deviation 0.5, the floor of one cell 3.0, that of two 2.0


def timed(number: int, seconds: dict[str, float]) -> list[Record]:
    """One cell per method; each repeat is off by as many seconds as REPEATS is from 10."""
    off = REPEATS[number] - REPEATS[0]
    return [record(method=method, train_seconds=each + off, peak=1000 * MIB) for method, each in seconds.items()]


def rows_of(folder: Path, seconds: dict[str, float], with_noise: bool = True) -> Sequence[Row]:
    if with_noise:
        return read_run(noisy_run(folder / "noisy", lambda number: timed(number, seconds), 3)).rows
    return read_run(write_run(folder / "plain", timed(0, seconds))).rows


def times(rows: Sequence[Row]) -> Table:
    return result_table(rows, TableLayout(rows=["method"], columns=["task"], metric="timing.train"), ORDER)


def bold(table: Table) -> dict[str, tuple[str, ...]]:
    """first name of the row -> marks of its bold entry"""
    return {row[0].text: entry.marks for row in table.rows for entry in row if entry.best}


def test_one_seeds_times_are_ranked_by_the_floors_where_they_are_stored(tmp_path: Path) -> None:
    seconds = {"lora": 10.0, "ia3": 11.0, "full": 20.0}
    assert bold(times(rows_of(tmp_path, seconds, with_noise=False))) == {}
    shown = times(rows_of(tmp_path, seconds))
    assert bold(shown) == {"lora": (), "ia3": ("≈",)}
    assert "tie" in shown.footnotes["≈"]


def test_a_difference_just_above_the_floor_is_no_tie(tmp_path: Path) -> None:
    error = Error(0.5, 2)
    floor = difference(Sample((10.0,), repeated=(error,)), Sample((10.0,), repeated=(error,))).floor
    assert floor == pytest.approx(2.776 * 0.5 * 2**0.5, rel=1e-3), "t with 4 degrees of freedom"
    assert bold(times(rows_of(tmp_path, {"lora": 10.0, "ia3": 10.01 + floor}))) == {"lora": ()}


def test_two_sides_with_one_pooled_estimate_have_its_degrees_of_freedom_and_no_more() -> None:
    pooled = (Error(0.5, 4, "timing.train, pooled"),)
    sides = Sample((10.0,), repeated=pooled), Sample((10.0,), repeated=pooled)
    reach = 2.776 * 0.5 * 2**0.5
    assert difference(*sides).floor == pytest.approx(reach, rel=1e-3), "t with 4 degrees of freedom"
    assert paired_difference([sides] * 9).floor == pytest.approx(reach / 3, rel=1e-3), "over pairs too"
    ratio = paired_ratio([sides] * 9)
    assert ratio is not None
    assert ratio.floor == pytest.approx(reach / 10 / 3, rel=1e-3)
    seeds = Sample((10.0, 10.0), repeated=pooled * 2)
    assert difference(seeds, seeds).floor == pytest.approx(reach / 2**0.5, rel=1e-3), "and over seeds"


def test_the_floor_between_two_cells_that_were_not_repeated_is_the_pools(tmp_path: Path) -> None:
    noisy_run(tmp_path / "noisy", lambda number: timed(number, {"lora": 10.0}), 3)
    noise = measure_noise(tmp_path / "noisy")
    others = with_noise([row(record(method=method, train_seconds=10.0, peak=1000 * MIB)) for method in ("ia3", "full")], noise)
    left, right = (one_sample([each], describe("timing.train")) for each in others)
    assert left is not None
    assert right is not None
    assert difference(left, right).floor == pytest.approx(noise.cells[0].quantities["timing.train"].floor), "docs/noise.md: t(n - 1) s sqrt(2)"


def test_memory_that_repeats_exactly_differs_by_its_last_byte() -> None:
    exactly = Error(0.0, 2)
    found = difference(Sample((1000.0,), repeated=(exactly,)), Sample((1001.0,), repeated=(exactly,)))
    assert (found.floor, found.within_noise) == (0.0, False)


def test_a_score_that_repeats_exactly_still_rests_on_the_items_that_were_drawn() -> None:
    exactly = (Error(0.0, 2),)
    sides = [Sample((value,), (0.02,), repeated=exactly, quality=True) for value in (0.80, 0.79)]
    assert difference(*sides).within_noise is True
    unknown = [Sample((value,), (None,), repeated=exactly, quality=True) for value in (0.80, 0.79)]
    assert difference(*unknown).within_noise is None
    assert difference(unknown[0], unknown[0]).within_noise is True, "it is not above the floor"


def test_no_interval_is_narrower_than_the_floor() -> None:
    """Item by item the sides differ by one, always; run again, by ten."""
    items = ((1.0, 9.0, 5.0), (2.0, 10.0, 6.0))
    left, right = (Sample((sum(each) / 3,), items=(each,), quality=True) for each in items)
    assert difference(left, right).within_noise is False
    noisy = [Sample(side.values, items=side.items, repeated=(Error(7.0, 20),), quality=True) for side in (left, right)]
    assert difference(*noisy).within_noise is True


def test_over_pairs_the_floor_shrinks_as_a_mean_does() -> None:
    error = (Error(1.0, 4),)
    pair = Sample((10.0,), repeated=error), Sample((9.0,), repeated=error)
    one, four = paired_difference([pair]), paired_difference([pair] * 4)
    assert one.floor is not None
    assert four.floor is not None
    assert four.floor < one.floor / 2
    assert four.interval is not None
    assert four.interval.high >= 1 + four.floor, "though the pairs agree to the last digit"


def test_a_ratio_ties_at_one() -> None:
    error = (Error(0.5, 4),)
    sides = Sample((10.1,), repeated=error), Sample((10.0,), repeated=error)
    found = paired_ratio([sides])
    assert found is not None
    assert found.value == pytest.approx(1.01)
    assert found.within_noise is True
    assert paired_ratio([(Sample((30.0,), repeated=error), sides[1])]).within_noise is False  # type: ignore[union-attr]
    assert paired_ratio([(sides[0], Sample((0.0,)))]) is None


def test_changes_within_the_noise_are_marked() -> None:
    from harness.analysis.columns import rows

    def tuned(method: str, after: float) -> Record:
        return record(method=method, metrics=[metric(value=0.50, when="before", stderr=0.03), metric(value=after, stderr=0.03)])

    shown = tuning_table(rows([tuned("lora", 0.52), tuned("full", 0.80)]), ORDER)
    assert shown is not None
    assert {row[0].text: row[-1].marks for row in shown.rows} == {"lora": ("≈",), "full": ()}
    assert "tie" in shown.footnotes["≈"]


def test_what_a_scheme_changes_within_the_noise_is_marked(tmp_path: Path) -> None:
    def cells(number: int) -> list[Record]:
        off = REPEATS[number] - REPEATS[0]
        peaks = {"none": 1000 * MIB, "nf4": 990 * MIB, "int8": 300 * MIB}
        return [record(quantization=name, peak=peak + int(10 * MIB * off)) for name, peak in peaks.items()]

    shown = scheme_table(read_run(noisy_run(tmp_path / "run", cells, 3)).rows, ORDER)
    assert shown is not None
    at = shown.header.index("Δ peak memory")
    assert {row[0].text: (row[at].text, row[at].marks) for row in shown.rows} == {"int8": ("−70 %", ()), "nf4": ("−1 %", ("≈",))}


def test_what_is_cheaper_by_less_than_the_noise_of_memory_is_not_recommended(tmp_path: Path) -> None:
    def cells(number: int, saved: int = 5) -> list[Record]:
        found, off = [metric(value=0.8, stderr=0.03)], (number - 1) * 20
        return [record(method="full", peak=(1000 + off) * MIB, metrics=found), record(method="lora", peak=(1000 - saved + off) * MIB, metrics=found)]

    def cheapest(rows: Sequence[Row]) -> str:
        shown = answer_table(rows, ORDER)
        assert shown is not None
        return shown.rows[0][5].text

    assert cheapest(read_run(write_run(tmp_path / "plain", cells(0))).rows).startswith("none / lora")
    assert cheapest(read_run(noisy_run(tmp_path / "noisy", cells, 3)).rows) == "the same"
    assert cheapest(read_run(noisy_run(tmp_path / "more", lambda number: cells(number, saved=600), 3)).rows).startswith("none / lora")


def claimed(rows: Sequence[Row], **fields: Any) -> CheckedClaim:
    sides = {side: {"metric": "timing.train", "where": {"method": name}} for side, name in (("left", "lora"), ("right", "full"))}
    return check_claim(rows, Claim.model_validate({"id": "c", "source": "nobody", "relation": "<", "margin": 0.0} | sides | fields))


def test_a_claim_on_the_time_of_one_seed_is_open_until_the_noise_was_measured(tmp_path: Path) -> None:
    found = claimed(rows_of(tmp_path, {"lora": 10.0, "full": 20.0}, with_noise=False))
    assert found.verdict == "inconclusive"
    assert "harness noise" in found.sentence
    assert claimed(rows_of(tmp_path, {"lora": 10.0, "full": 20.0})).verdict == "reproduced"


def test_a_claim_on_less_than_the_floor_stays_open(tmp_path: Path) -> None:
    assert claimed(rows_of(tmp_path, {"lora": 10.0, "full": 11.0})).verdict == "inconclusive"


def test_a_ratio_of_times_of_one_seed_is_judged_by_the_floors_with_their_few_degrees_of_freedom(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, {"lora": 10.0, "full": 20.0})
    found = claimed(rows, relation="ratio", factor=0.5, margin=0.2)
    assert found.verdict == "reproduced"
    low, high = (float(part) for part in found.sentence.partition("[")[2].partition("]")[0].split(", "))
    assert (high - low) / 2 > 1.96 * 0.5 / 20, "wider than the normal interval"
