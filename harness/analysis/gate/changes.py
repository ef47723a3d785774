"""Numbers judged: worse, better, within the tolerance, within the noise, or not to be decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis.gate.chance import FEWEST_DEGREES, LIKELY, Chance, NoiseOfSides, holm
from harness.analysis.gate.numbers import Number
from harness.suite.gate import Gate, Tolerance

Verdict = Literal["worse", "better", "undecided", "changed", "within noise", "within tolerance"]


@dataclass(frozen=True)
class Change:
    """One number, judged. worse: which way it went. undecided: beyond its tolerance, the noise unknown, or known from so few measurements
    that what looks like more than noise cannot be told from it among so many numbers. changed: of a quantity without a better way."""

    number: Number
    verdict: Verdict
    worse: bool
    tolerance: Tolerance
    chance: Chance

    @property
    def cells(self) -> list[str]:
        """Ids of the baseline's cells."""
        return [pair.left.record.cell.id for pair in self.number.pairs]

    @property
    def place(self) -> str:
        """The configuration in words, the seed included where there is one only."""
        row = self.number.pairs[0].left
        return row.name() if len(self.number.pairs) == 1 else row.name("seed") + f" ({len(self.number.pairs)} seeds)"

    @property
    def relative(self) -> float | None:
        """The difference as a share of the baseline's value; None at 0."""
        level = self.number.left.mean
        return self.number.difference / abs(level) if level else None

    @property
    def size(self) -> str:
        """The difference: in points for a score, in per cent for a cost."""
        quantity = self.number.quantity
        if self.relative is None or (quantity.quality and quantity.style == "share"):
            return quantity.show_difference(self.number.difference)
        return f"{100 * self.relative:+.1f} %".replace("-", "−")

    @property
    def sentence(self) -> str:
        """`accuracy 91.20 → 88.10 (−3.10; tolerance 0.00, p 2e-05 by items)`."""
        quantity = self.number.quantity
        noise = "noise unknown" if self.chance.p is None else "a count" if quantity.exact else f"p {self.chance.p:.1g} by {self.chance.by}"
        values = f"{quantity.show(self.number.left.mean)} → {quantity.show(self.number.right.mean)}"
        return f"{quantity.label} {values} ({self.size}; tolerance {self.tolerance.words(quantity)}, {noise})"


def judge(numbers: Sequence[Number], noise: NoiseOfSides, gate: Gate) -> list[Change]:
    """The verdict on every number, in their order; what is noise is decided for all of them together."""
    chances = [noise.chance(number) for number in numbers]
    known = [at for at, chance in enumerate(chances) if chance.p is not None and not numbers[at].quantity.exact]
    significant = dict(zip(known, holm([chances[at].p or 0.0 for at in known], gate.alpha), strict=True))
    return [_judged(number, chances[at], significant.get(at), gate) for at, number in enumerate(numbers)]


def _judged(number: Number, chance: Chance, significant: bool | None, gate: Gate) -> Change:
    quantity, difference = number.quantity, number.difference
    tolerance = gate.limit(quantity).parsed
    beyond = abs(difference) > tolerance.of(number.left.mean, quantity) and (chance.p is None or chance.p < 1)
    worse = quantity.higher_is_better is not None and (difference < 0) == quantity.higher_is_better
    verdict: Verdict
    if not beyond:
        verdict = "within tolerance"
    elif quantity.higher_is_better is None:
        verdict = "changed"
    elif quantity.exact or significant:
        verdict = "worse" if worse else "better"
    elif significant is None or (chance.degrees < FEWEST_DEGREES and (chance.p or 0.0) < LIKELY):
        verdict = "undecided"
    else:
        verdict = "within noise"
    return Change(number, verdict, worse, tolerance, chance)
