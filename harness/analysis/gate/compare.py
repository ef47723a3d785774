"""A run against a baseline: the verdict, what changed, and why. What `harness compare` prints in any of its formats."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.analysis.columns import Row
from harness.analysis.gate.chance import NoiseOfSides
from harness.analysis.gate.changes import Change, judge
from harness.analysis.gate.environment import Moved, moved
from harness.analysis.gate.events import Event, events
from harness.analysis.gate.matching import Pair, match
from harness.analysis.gate.numbers import numbers
from harness.analysis.gate.obstacles import DIFFERENCES, Difference, Obstacle, obstacles
from harness.analysis.gate.phases import PhaseMove, phase_moves
from harness.analysis.gate.sides import Side, baseline_side, run_side
from harness.analysis.gate.suspects import Suspect, suspects
from harness.errors import RequestError, UnknownName
from harness.suite.gate import Gate, read_gate

Verdict = Literal["nothing worse", "regression", "not comparable"]
EXIT_CODES: dict[Verdict, int] = {"nothing worse": 0, "regression": 1, "not comparable": 2}


@dataclass(frozen=True)
class Comparison:
    """obstacles: what stood against it, or was allowed. pairs: the cells compared; none where it is not comparable.

    changes: every number that was judged, those that are within tolerance and noise too. new: cells of the run alone.
    """

    left: Side
    right: Side
    gate: Gate
    verdict: Verdict
    obstacles: tuple[Obstacle, ...]
    pairs: tuple[Pair, ...] = ()
    changes: tuple[Change, ...] = ()
    events: tuple[Event, ...] = ()
    new: tuple[Row, ...] = ()
    moved: tuple[Moved, ...] = ()
    phases: tuple[PhaseMove, ...] = ()
    suspects: tuple[Suspect, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 nothing worse, 1 a regression, 2 not comparable."""
        return EXIT_CODES[self.verdict]

    @property
    def worse(self) -> list[Change]:
        """Numbers that fail the gate: scores first, of equals the largest relative change."""
        failing = [change for change in self.changes if fails(change, self.gate)]
        return sorted(failing, key=lambda change: (not change.number.quantity.quality, -abs(change.relative or 0.0)))

    @property
    def regressions(self) -> list[Event]:
        """What happened to cells that fails the gate."""
        return [event for event in self.events if event.regression]

    @property
    def regressed(self) -> list[str]:
        """Ids of the baseline's cells that anything is worse in, in their order."""
        bad = {event.cell for event in self.regressions} | {cell for change in self.worse for cell in change.cells}
        return [row.record.cell.id for row in self.left.rows if row.record.cell.id in bad]

    def of(self, *verdicts: str) -> list[Change]:
        """The changes with one of these verdicts."""
        return [change for change in self.changes if change.verdict in verdicts]


def fails(change: Change, gate: Gate) -> bool:
    """Whether the change alone makes the gate fail."""
    return change.verdict == "worse" or (change.verdict == "undecided" and change.worse and gate.undecided == "fail")


def compare_paths(baseline: str, run: Path, gate: Path | None = None, allowed: Collection[str] = ()) -> Comparison:
    """What the command line asks for. gate: a file laid over the gate of the run's suite. allowed: as `compare`'s.

    Raises UnknownName, NotARun, RequestError, DataError and SuiteError for what cannot be read.
    """
    for name in allowed:
        if name not in DIFFERENCES:
            raise UnknownName("difference to allow", name, DIFFERENCES)
    own = read_gate(gate) if gate is not None else Gate()
    right = run_side(run)
    left = baseline_side(baseline, right)
    suite = right.suite or left.suite
    return compare(left, right, own.over(suite.gate) if suite is not None else own, [name for name in DIFFERENCES if name in allowed])


def compare(left: Side, right: Side, gate: Gate, allowed: Collection[Difference] = ()) -> Comparison:
    """The run (right) against the baseline (left). allowed: differences to go on in spite of.

    Raises RequestError where they have no cell in common.
    """
    matching = match(left.rows, right.rows)
    against = obstacles(left, right, matching, gate)
    if not matching.pairs and not matching.redefined and not right.damaged and not against:
        raise RequestError(f"{left.name} and {right.name} have no cell in common: they are runs of different suites, profiles or versions")
    if any(obstacle.kind not in allowed for obstacle in against):
        return Comparison(left, right, gate, "not comparable", tuple(against), new=matching.new)
    pairs = (*matching.pairs, *matching.redefined)
    judged = list(numbers(pairs, gate))
    noise = NoiseOfSides(judged, left.noise, right.noise)
    changes = judge(judged, noise, gate)
    happened = events(matching, pairs, right.damaged, right.to_come > 0, gate)
    bad = {event.cell for event in happened if event.regression} | {cell for change in changes if fails(change, gate) for cell in change.cells}
    changed = moved([pair.left for pair in pairs], [pair.right for pair in pairs])
    return Comparison(
        left, right, gate, "regression" if bad else "nothing worse", tuple(against), pairs, tuple(changes), tuple(happened), matching.new, tuple(changed),
        tuple(phase_moves(_of_cells(pairs, bad), noise)), tuple(suspects(pairs, bad, changed, happened)),
    )  # fmt: skip


def _of_cells(pairs: Sequence[Pair], ids: Collection[str]) -> list[Pair]:
    return [pair for pair in pairs if pair.left.record.cell.id in ids]
