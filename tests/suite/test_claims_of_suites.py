"""The claims of every shipped suite, on its own plan: each has cells on both sides, and nothing that confounds differs between them."""

from __future__ import annotations

from pathlib import Path

import pytest
from record_factory import record

from harness.analysis.claims import check_claim
from harness.analysis.columns import AXES, Reading, Row, metric_address
from harness.needs import Machine
from harness.suite.cell import Cell
from harness.suite.find import shipped_suites
from harness.suite.load import load_suite
from harness.suite.plan import make_plan
from harness.suite.schema import Measured, Suite

SUITES = [path for path in sorted(shipped_suites().glob("*.yaml")) if load_suite(path).claims]
NOTHING_TO_COMPARE = ("No cell", "Fewer than two", "share fewer", "has no better way")


def measured(cell: Cell, suite: Suite) -> Row:
    """The cell as if all that the suite's claims are about had been measured in it."""
    part = cell.record_part()
    place = {axis: getattr(part, axis) for axis in AXES}
    untrained = {} if cell.config.method.tunes else {"training": None}
    sides = [side for claim in suite.claims for side in (claim.left, claim.right) if isinstance(side, Measured)]
    readings = {metric_address(side.metric, when=side.when): Reading(0.5, 0.01, "one protocol") for side in sides}
    return Row(record(config=part.config, sweep=part.sweep, **place, **untrained), place | part.sweep, readings, ok=True, random_weights=False)


@pytest.mark.parametrize("file", SUITES, ids=lambda path: path.stem)
def test_a_suites_claims_compare_cells_that_can_be_compared(file: Path) -> None:
    suite = load_suite(file)
    rows = [measured(cell, suite) for cell in make_plan(suite, Machine()).cells if cell.labels.seed == suite.seeds[0]]
    checked = [check_claim(rows, claim) for claim in suite.claims]
    assert [found.sentence for found in checked if found.verdict == "not comparable"] == []
    assert [found.sentence for found in checked if found.sentence.startswith(NOTHING_TO_COMPARE)] == []


def test_the_suites_make_at_least_sixty_claims_and_each_says_whose_it_is() -> None:
    claims = [claim for file in SUITES for claim in load_suite(file).claims]
    assert len(claims) >= 60
    assert all(claim.source for claim in claims)
    assert {"increases", "decreases", "plateaus", "crosses", "best", "ratio"} <= {claim.relation for claim in claims}
