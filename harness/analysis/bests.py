"""Claims that one is the best of a group: no cell that the right side selects beats the left side's."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.claim_sides import (
    CheckedClaim,
    difference_words,
    names,
    objection,
    or_repeats,
    quantity_of,
    sample,
    words,
)
from harness.analysis.columns import Row
from harness.analysis.effects import paired_difference
from harness.analysis.groups import group_by, relevant
from harness.analysis.pairs import free_axes, pair_up, select
from harness.analysis.statistics import Difference, Interval
from harness.analysis.verdicts import judge_best
from harness.quantities import Quantity
from harness.suite.schema import Claim, Measured


def check_best(rows: Sequence[Row], claim: Claim) -> CheckedClaim:
    """The verdict; raises UnknownName for a metric that nobody computed. Rivals are told apart on the axes that both sides name."""
    assert isinstance(claim.right, Measured), "the schema asks for it"
    quantity = quantity_of(claim.left, rows)
    if quantity.higher_is_better is None:
        return CheckedClaim(claim, "not comparable", f"{quantity.label} has no better way.")
    ours = select(relevant(rows, quantity), claim.left.where)
    theirs = [row for row in select(relevant(rows, quantity), claim.right.where) if row not in ours]
    if not ours or not theirs:
        side = claim.left if not ours else claim.right
        return CheckedClaim(claim, "inconclusive", f"No cell matches the {'right' if ours else 'left'} side ({words(side)}).")
    axes = sorted(free_axes(claim.left, ours, claim.right, theirs))
    leads: list[tuple[str, Difference]] = []
    for place, rivals in group_by(theirs, axes).items():
        pairing = pair_up(ours, rivals, set(axes))
        against = objection(pairing, quantity, quantity, claim) if pairing.pairs else ("inconclusive", f"{names(rivals)} agrees with no cell of the left side on the axes that the claim does not name.")
        if against is not None:
            return CheckedClaim(claim, *against)
        found = paired_difference([(sample(pair.left, quantity), sample(pair.right, quantity)) for pair in pairing.pairs])
        if found.interval is None:
            return CheckedClaim(claim, "inconclusive", f"{quantity.label}: one pair and no standard error: the noise is unknown; run more seeds{or_repeats(quantity)}.")
        leads.append((" / ".join(map(str, place)), found))
    verdict = judge_best([_lead(found, quantity) for _, found in leads], claim.margin)
    rival, closest = min(leads, key=lambda lead: _lead(lead[1], quantity).value)
    margin = f", give or take {quantity.show(claim.margin / quantity.points)}" if claim.margin else ""
    own = quantity.show(sample(ours, quantity).mean)
    return CheckedClaim(claim, verdict, f"{quantity.label} {own}; against the strongest of {len(leads)} others, {rival}: {difference_words(closest, quantity)}; claimed: the best{margin}.")


def _lead(found: Difference, quantity: Quantity) -> Difference:
    """By how much the left side is better, in printed units."""
    assert found.interval is not None, "looked at before"
    scale = quantity.points
    if quantity.higher_is_better:
        return Difference(found.value * scale, found.interval.scaled(scale))
    return Difference(-found.value * scale, Interval(-found.interval.high * scale, -found.interval.low * scale))
