"""Claims of two sides: less, more, equal, or so many times as much. Cells are paired on all axes that the claim does not name."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.claim_sides import (
    CheckedClaim,
    difference_words,
    nothing_on,
    objection,
    quantity_of,
    sample,
    unknown_noise,
    what_settles,
)
from harness.analysis.columns import Row
from harness.analysis.effects import paired_difference, paired_ratio
from harness.analysis.groups import relevant
from harness.analysis.pairs import Pair, Pairing, free_axes, pair_up, select
from harness.analysis.seeds_needed import Judged
from harness.analysis.statistics import Difference, Sample
from harness.analysis.verdicts import bounds, judge
from harness.quantities import Quantity
from harness.suite.schema import Claim, Given, Measured

CLAIMED = {"<": "less", ">": "more", "<=": "at most as much", ">=": "at least as much", "within": "equal"}
WITH_MARGIN = {"<": " by more than", ">": " by more than", "<=": ", give or take", ">=": ", give or take", "within": " within"}


def check_comparison(rows: Sequence[Row], claim: Claim) -> CheckedClaim:
    """The verdict on a claim of two sides; raises UnknownName for a metric that nobody computed."""
    left = quantity_of(claim.left, rows)
    right = quantity_of(claim.right, rows) if isinstance(claim.right, Measured) else None
    pairing = _pairing(rows, claim, left, right)
    if isinstance(pairing, str):
        return CheckedClaim(claim, "inconclusive", pairing)
    against = objection(pairing, left, right, claim)
    if against is not None:
        return CheckedClaim(claim, *against)
    effect = _effect(pairing, left, right, claim)
    if effect is None:
        return CheckedClaim(claim, "inconclusive", "The ratio is not defined: the right side is 0.")
    sentence = _sentence(claim, pairing, left, right, effect)
    cells = [*pairing.left, *pairing.right]
    if effect.interval is None:
        return CheckedClaim(claim, "inconclusive", f"{sentence} {unknown_noise(cells, left)}")
    points = 1.0 if claim.relation == "ratio" else left.points
    relation = claim.relation
    assert relation in CLAIMED or relation == "ratio", "trends are checked elsewhere"
    interval = effect.interval.scaled(points)
    verdict = judge(relation, interval, claim.margin, claim.factor)  # type: ignore[arg-type]
    if verdict == "inconclusive":
        limits = bounds(relation, claim.margin, claim.factor)  # type: ignore[arg-type]
        sentence += f" {what_settles([Judged(effect.value * points, interval, limits)], cells, left)}"
    return CheckedClaim(claim, verdict, sentence)


def _pairing(rows: Sequence[Row], claim: Claim, ours: Quantity, theirs: Quantity | None) -> Pairing | str:
    """What is compared with what, or the sentence that says why nothing is. Tasks without the metric don't count."""
    left = select(relevant(rows, ours), claim.left.where)
    if not left:
        return nothing_on(claim.left, "left", rows, ours)
    if not isinstance(claim.right, Measured):
        return Pairing(tuple(Pair((row,), ()) for row in left), by_seed=True)
    right = select(relevant(rows, theirs or ours), claim.right.where)
    if not right:
        return nothing_on(claim.right, "right", rows, theirs or ours)
    pairing = pair_up(left, right, free_axes(claim.left, left, claim.right, right))
    if not pairing.pairs:
        return "No cell of the left side has a partner on the right that agrees with it on the axes that the claim does not name."
    return pairing


def _effect(pairing: Pairing, left: Quantity, right: Quantity | None, claim: Claim) -> Difference | None:
    """The claimed difference or ratio over all pairs; None for a ratio with 0."""
    sides = [(sample(pair.left, left), _other(pair, right, claim)) for pair in pairing.pairs]
    return paired_ratio(sides) if claim.relation == "ratio" else paired_difference(sides)


def _other(pair: Pair, right: Quantity | None, claim: Claim) -> Sample:
    if isinstance(claim.right, Given):
        return Sample((claim.right.value,), exact=True)
    assert right is not None, "a measured side has a quantity"
    return sample(pair.right, right)


def _sentence(claim: Claim, pairing: Pairing, left: Quantity, right: Quantity | None, effect: Difference) -> str:
    ours = sample(pairing.left, left).mean
    theirs = claim.right.value if isinstance(claim.right, Given) else sample(pairing.right, right or left).mean
    if claim.relation == "ratio":
        shown = f"ratio {effect.value:.4g}" + (f" [{effect.interval.low:.4g}, {effect.interval.high:.4g}]" if effect.interval else "")
        claimed = f"{claim.factor:g} ± {claim.margin:g}"
    else:
        shown = f"difference {difference_words(effect, left)}"
        margin = left.show(claim.margin / left.points) if claim.margin else None
        claimed = CLAIMED[claim.relation] + (f"{WITH_MARGIN[claim.relation]} {margin}" if margin else "")
    count = len(pairing.pairs)
    over = f"{count} {'cell' if isinstance(claim.right, Given) else 'pair'}{'s' if count > 1 else ''}"
    over += "" if pairing.by_seed else " of means over seeds that differ"
    return f"{left.label} {left.show(ours)} against {left.show(theirs)}: {shown} over {over}; claimed: {claimed}."
