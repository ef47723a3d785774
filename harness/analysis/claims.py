"""The suite's claims checked on the records: a verdict each, and the figures it rests on in one sentence.

Uncertainty comes from the spread over pairs (Student's t); with one pair, or pairs that repeat each other to the
last digit, from the items evaluated, one by one, or from the metrics' own standard errors, and for costs from A/A repeats (`harness noise`); where
there is none of these, the claim is inconclusive. No interval is narrower than a noise floor that was measured (docs/noise.md). A margin is
in printed units: 1.0 on accuracy is one point of a hundred. `harness.analysis.verdicts` has the rules, `harness.analysis.comparable` what
must agree between the sides.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.bests import check_best
from harness.analysis.claim_sides import CheckedClaim
from harness.analysis.columns import Row
from harness.analysis.comparisons import check_comparison
from harness.analysis.not_run import not_run, not_run_words
from harness.analysis.trends import check_trend
from harness.errors import UnknownName
from harness.records.planned import Place
from harness.suite.schema import Claim

__all__ = ["CheckedClaim", "check_claim", "check_claims"]


def check_claims(rows: Sequence[Row], claims: Sequence[Claim], absent: Sequence[Place] = ()) -> list[CheckedClaim]:
    """Every claim with its verdict, in their order. absent: where planned cells stand that have no record."""
    return [check_claim(rows, claim, absent) for claim in claims]


def check_claim(rows: Sequence[Row], claim: Claim, absent: Sequence[Place] = ()) -> CheckedClaim:
    """The verdict on one claim: while a cell that it is about has no record, none but that the others do not compare."""
    check = check_best if claim.relation == "best" else check_trend if claim.over is not None else check_comparison
    try:
        found = check(rows, claim)
        missing = not_run(rows, absent, claim) if absent and found.verdict != "not comparable" else []
        return CheckedClaim(claim, "inconclusive", not_run_words(missing)) if missing else found
    except UnknownName as error:
        return CheckedClaim(claim, "inconclusive", str(error))
