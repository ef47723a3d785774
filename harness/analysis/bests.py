"""Claims that one is the best of a group: no cell that the right side selects beats the left side's."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.claim_sides import (
    CheckedClaim,
    difference_words,
    names,
    nothing_on,
    objection,
    quantity_of,
    sample,
    unknown_noise,
    what_settles,
)
from harness.analysis.columns import Row
from harness.analysis.effects import paired_difference
from harness.analysis.groups import group_by, relevant
from harness.analysis.pairs import free_axes, pair_up, select
from harness.analysis.seeds_needed import Judged
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
    if not ours:
        return CheckedClaim(claim, "inconclusive", nothing_on(claim.left, "left", rows, quantity))
    if not theirs:
        return CheckedClaim(claim, "inconclusive", nothing_on(claim.right, "right", [row for row in rows if row not in ours], quantity))
    axes = sorted(free_axes(claim.left, ours, claim.right, theirs))
    leads: list[tuple[str, Difference]] = []
    for place, rivals in group_by(theirs, axes).items():
        pairing = pair_up(ours, rivals, set(axes))
        against = objection(pairing, quantity, quantity, claim) if pairing.pairs else ("inconclusive", f"{names(rivals)} agrees with no cell of the left side on the axes that the claim does not name.")
        if against is not None:
            return CheckedClaim(claim, *against)
        found = paired_difference([(sample(pair.left, quantity), sample(pair.right, quantity)) for pair in pairing.pairs])
        if found.interval is None:
            return CheckedClaim(claim, "inconclusive", f"{quantity.label}: {unknown_noise([*ours, *rivals], quantity)}")
        leads.append((" / ".join(map(str, place)), found))
    return _answer(leads, [*ours, *theirs], quantity.show(sample(ours, quantity).mean), quantity, claim)


def _answer(leads: Sequence[tuple[str, Difference]], cells: Sequence[Row], own: str, quantity: Quantity, claim: Claim) -> CheckedClaim:
    """The verdict, with the rival that comes closest. leads: what each rival is called, and the left side less it."""
    found = [(name, difference, _lead(difference, quantity, claim.margin)) for name, difference in leads]
    verdict = judge_best([lead.interval for _, _, lead in found], claim.margin)
    rival, closest, _ = min(found, key=lambda each: each[2].value)
    margin = f", give or take {quantity.show(claim.margin / quantity.points)}" if claim.margin else ""
    against = f"against the strongest of {len(leads)} others, {rival}" if len(leads) > 1 else f"against {rival}"
    sentence = f"{quantity.label} {own}; {against}: {difference_words(closest, quantity)}; claimed: the best{margin}."
    if verdict == "inconclusive":
        sentence += f" {what_settles([lead for _, _, lead in found], cells, quantity)}"
    return CheckedClaim(claim, verdict, sentence)


def _lead(found: Difference, quantity: Quantity, margin: float) -> Judged:
    """By how much the left side is better, in printed units, and below what it must not fall."""
    assert found.interval is not None, "looked at before"
    scale = quantity.points
    if quantity.higher_is_better:
        return Judged(found.value * scale, found.interval.scaled(scale), (-margin,))
    return Judged(-found.value * scale, Interval(-found.interval.high * scale, -found.interval.low * scale), (-margin,))
