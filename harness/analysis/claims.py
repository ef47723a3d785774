"""The suite's claims checked on the records: a verdict each, and the figures it rests on in one sentence.

Uncertainty comes from the spread over pairs (Student's t); with one pair, or pairs that repeat each other to the
last digit, from the items evaluated, one by one, or from the metrics' own standard errors; where there are neither, the claim is inconclusive. A margin is
in printed units: 1.0 on accuracy is one point of a hundred. `harness.analysis.verdicts` has the rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.columns import Row, describe, metric_address
from harness.analysis.groups import relevant, sample_of
from harness.analysis.pairs import Pair, Pairing, free_axes, pair_up, select
from harness.analysis.statistics import Interval, Sample, difference, interval_around
from harness.analysis.verdicts import Verdict, judge
from harness.errors import UnknownName
from harness.quantities import Quantity
from harness.suite.schema import Claim, Given, Measured

CLAIMED = {"<": "less", ">": "more", "<=": "at most as much", ">=": "at least as much", "within": "equal"}
WITH_MARGIN = {"<": " by more than", ">": " by more than", "<=": ", give or take", ">=": ", give or take", "within": " within"}


@dataclass(frozen=True)
class CheckedClaim:
    """A claim, its verdict, and why."""

    claim: Claim
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Effect:
    """Left minus right (for `ratio`: over right) in stored units, with its interval; None where the noise is unknown."""

    value: float
    interval: Interval | None


def check_claims(rows: Sequence[Row], claims: Sequence[Claim]) -> list[CheckedClaim]:
    """Every claim with its verdict, in their order."""
    return [check_claim(rows, claim) for claim in claims]


def check_claim(rows: Sequence[Row], claim: Claim) -> CheckedClaim:
    """The verdict on one claim."""
    try:
        left = _quantity(claim.left, rows)
        right = None if isinstance(claim.right, Given) else _quantity(claim.right, rows)
    except UnknownName as error:
        return CheckedClaim(claim, "inconclusive", f"{error}.")
    pairing = _pairing(rows, claim, left, right)
    if isinstance(pairing, str):
        return CheckedClaim(claim, "inconclusive", pairing)
    objection = _objection(pairing, left, right)
    if objection is not None:
        return CheckedClaim(claim, *objection)
    effect = _effect(pairing, left, right, claim)
    if effect is None:
        return CheckedClaim(claim, "inconclusive", "The ratio is not defined: the right side is 0.")
    sentence = _sentence(claim, pairing, left, right, effect)
    if effect.interval is None:
        return CheckedClaim(claim, "inconclusive", f"{sentence} One pair and no standard error: the noise is unknown; run more seeds.")
    ratio = claim.relation == "ratio"
    verdict = judge(claim.relation, effect.interval.scaled(1.0 if ratio else left.points), claim.margin, claim.factor)
    return CheckedClaim(claim, verdict, sentence)


def _quantity(side: Measured, rows: Sequence[Row]) -> Quantity:
    return describe(metric_address(side.metric, when=side.when), rows)


def _pairing(rows: Sequence[Row], claim: Claim, ours: Quantity, theirs: Quantity | None) -> Pairing | str:
    """What is compared with what, or the sentence that says why nothing is. Tasks without the metric don't count."""
    left = select(relevant(rows, ours), claim.left.where)
    if not left:
        return f"No cell matches the left side ({_words(claim.left)})."
    if isinstance(claim.right, Given):
        return Pairing(tuple(Pair((row,), ()) for row in left), by_seed=True)
    right = select(relevant(rows, theirs or ours), claim.right.where)
    if not right:
        return f"No cell matches the right side ({_words(claim.right)})."
    pairing = pair_up(left, right, free_axes(claim.left, left, claim.right, right))
    if not pairing.pairs:
        return "No cell of the left side has a partner on the right that agrees with it on the axes that the claim does not name."
    return pairing


def _objection(pairing: Pairing, left: Quantity, right: Quantity | None) -> tuple[Verdict, str] | None:
    """Why the cells cannot be compared or not yet, or None."""
    cells = [*pairing.left, *pairing.right]
    if right is not None and (right.style, right.unit) != (left.style, left.unit):
        return "not comparable", f"{left.label} and {right.label} have different units."
    if any(quantity.quality for quantity in (left, right) if quantity) and any(row.random_weights for row in cells):
        names = _names([row for row in cells if row.random_weights])
        return "not comparable", f"Random weights have no quality: {names}."
    broken = [row for row in cells if not row.ok]
    if broken:
        return "inconclusive", f"Not all cells went through: {_names(broken)}."
    without = [row for row in pairing.left if row.reading(left.key) is None]
    without += [row for row in pairing.right if right is not None and row.reading(right.key) is None]
    if without:
        return "inconclusive", f"No value of {left.label} for {_names(without)}."
    return _mixed_protocols(pairing, left, right)


def _mixed_protocols(pairing: Pairing, left: Quantity, right: Quantity | None) -> tuple[Verdict, str] | None:
    for pair in pairing.pairs:
        ours = {_protocol(row, left) for row in pair.left}
        theirs = {_protocol(row, right) for row in pair.right} if right is not None else ours
        if len(ours | theirs) > 1:
            named = " against ".join(", ".join(sorted(side)) for side in (ours, theirs))
            return "not comparable", f"Different protocols: {named}."
    return None


def _protocol(row: Row, quantity: Quantity) -> str:
    reading = row.reading(quantity.key)
    return (reading.protocol if reading else None) or "none"


def _effect(pairing: Pairing, left: Quantity, right: Quantity | None, claim: Claim) -> Effect | None:
    """The claimed difference or ratio over all pairs; None for a ratio with 0."""
    sides = [(_sample(pair.left, left), _other(pair, right, claim.right)) for pair in pairing.pairs]
    ratio = claim.relation == "ratio"
    if ratio and any(theirs.mean == 0 for _, theirs in sides):
        return None
    if len(sides) == 1 and not ratio:
        found = difference(*sides[0])
        return Effect(found.value, found.interval)
    effects = [_ratio(*side) if ratio else _minus(*side) for side in sides]
    sample = Sample(tuple(value for value, _ in effects), tuple(error for _, error in effects), exact=left.exact and _exact(right))
    error = sample.error()
    return Effect(sample.mean, None if error is None else interval_around(sample.mean, *error))


def _sample(rows: Sequence[Row], quantity: Quantity) -> Sample:
    return sample_of((reading for row in rows if (reading := row.reading(quantity.key)) is not None), quantity)


def _other(pair: Pair, right: Quantity | None, side: Measured | Given) -> Sample:
    if isinstance(side, Given):
        return Sample((side.value,), exact=True)
    assert right is not None, "a measured side has a quantity"
    return _sample(pair.right, right)


def _minus(left: Sample, right: Sample) -> tuple[float, float | None]:
    errors = left.error(), right.error()
    known = [error for error in errors if error is not None]
    return left.mean - right.mean, math.hypot(*(error for error, _ in known)) if len(known) == 2 else None


def _ratio(left: Sample, right: Sample) -> tuple[float, float | None]:
    """left / right and its standard error to first order (delta method); the right side is not 0."""
    value = left.mean / right.mean
    ours, theirs = left.error(), right.error()
    if ours is None or theirs is None:
        return value, None
    return value, math.hypot(ours[0] / right.mean, value * theirs[0] / right.mean)


def _exact(right: Quantity | None) -> bool:
    return right is None or right.exact


def _sentence(claim: Claim, pairing: Pairing, left: Quantity, right: Quantity | None, effect: Effect) -> str:
    ours = _sample(pairing.left, left).mean
    theirs = claim.right.value if isinstance(claim.right, Given) else _sample(pairing.right, right or left).mean
    if claim.relation == "ratio":
        shown = f"ratio {effect.value:.4g}" + (f" [{effect.interval.low:.4g}, {effect.interval.high:.4g}]" if effect.interval else "")
        claimed = f"{claim.factor:g} ± {claim.margin:g}"
    else:
        shown = f"difference {left.show_difference(effect.value)}"
        if effect.interval:
            shown += f" [{left.show_difference(effect.interval.low)}, {left.show_difference(effect.interval.high)}]"
        margin = left.show(claim.margin / left.points) if claim.margin else None
        claimed = CLAIMED[claim.relation] + (f"{WITH_MARGIN[claim.relation]} {margin}" if margin else "")
    count = len(pairing.pairs)
    over = f"{count} {'cell' if isinstance(claim.right, Given) else 'pair'}{'s' if count > 1 else ''}"
    over += "" if pairing.by_seed else " of means over seeds that differ"
    return f"{left.label} {left.show(ours)} against {left.show(theirs)}: {shown} over {over}; claimed: {claimed}."


def _names(rows: Sequence[Row]) -> str:
    named = [f"{row.name()} ({row.record.outcome.status})" if not row.ok else row.name() for row in rows[:3]]
    return "; ".join(named) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")


def _words(side: Measured) -> str:
    return ", ".join(f"{axis}: {pattern}" for axis, pattern in side.where.items()) or "all cells"
