"""Which phases of a cell's life took more or less time and memory than before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis.columns import describe
from harness.analysis.gate.chance import LIKELY, NoiseOfSides
from harness.analysis.gate.matching import Pair
from harness.analysis.gate.numbers import Number, configurations, finite
from harness.records.parts import PHASES, PhaseName

LEAST = 0.05  # a phase that moved by less is not told
MOST = 3


@dataclass(frozen=True)
class PhaseMove:
    """What one phase took on both sides: seconds over all cells, or the mean of their peaks in bytes."""

    phase: PhaseName
    what: Literal["time", "memory"]
    before: float
    now: float
    cells: int

    @property
    def relative(self) -> float:
        """The change as a share of before."""
        return (self.now - self.before) / self.before

    @property
    def sentence(self) -> str:
        """`train +15 % time (30.20 s → 34.70 s over 6 cells)`."""
        quantity = describe("timing.train" if self.what == "time" else "memory.train_peak")
        change = f"{100 * self.relative:+.0f} %".replace("-", "−")
        how = f"over {self.cells} cells" if self.what == "time" else f"mean of {self.cells} cells"
        return f"{self.phase} {change} {self.what} ({quantity.show(self.before)} → {quantity.show(self.now)}, {how if self.cells > 1 else 'one cell'})"


def phase_moves(pairs: Sequence[Pair], noise: NoiseOfSides) -> list[PhaseMove]:
    """The phases that moved most, of time and of memory, the largest change first; of cells that went through on both sides.

    A phase whose noise is known and reaches as far is left out.
    """
    found: list[PhaseMove] = []
    for what in ("time", "memory"):
        moves = [move for move in _moves([pair for pair in pairs if pair.left.ok and pair.right.ok], noise, what) if abs(move.relative) >= LEAST]
        found += sorted(moves, key=lambda move: -abs(move.now - move.before))[:MOST]
    return found


def _moves(pairs: Sequence[Pair], noise: NoiseOfSides, what: Literal["time", "memory"]) -> Iterator[PhaseMove]:
    for phase in PHASES:
        key = f"timing.{phase}" if what == "time" else f"memory.{phase}_peak"
        having = [pair for pair in pairs if finite(pair.left.readings.get(key)) and finite(pair.right.readings.get(key))]
        before, now = (sum(getattr(pair, side).readings[key].value for pair in having) for side in ("left", "right"))
        share = 1 if what == "time" else max(1, len(having))
        if before > 0 and not _noise_reaches(having, noise, key):
            yield PhaseMove(phase, what, before / share, now / share, len(having))


def _noise_reaches(pairs: Sequence[Pair], noise: NoiseOfSides, key: str) -> bool:
    """Whether noise alone may be all of it, in every configuration; False where it is not known."""
    chances = [noise.chance(Number(describe(key), group)).p for group in configurations(pairs)]
    known = [p for p in chances if p is not None]
    return len(known) == len(chances) and min(known) * len(known) > LIKELY
