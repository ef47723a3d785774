"""`harness bisect-env`: the commands that run one regressed cell again with one changed package at a time moved back."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.analysis.columns import Row
from harness.analysis.gate.compare import Comparison
from harness.analysis.gate.environment import Moved
from harness.analysis.gate.suspects import LIBRARIES
from harness.errors import RequestError

NOT_FROM_PIP = ("python", "harness")
ABSENT = "absent"


@dataclass(frozen=True)
class Trial:
    """One package moved back. commands: lines of a shell, each complete in itself."""

    package: Moved
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Bisection:
    """cell: the one that is run again, chosen because it regressed and is quick. freeze: keeps tonight's versions. other: what changed
    that pip does not move back, in words."""

    cell: Row
    freeze: str
    trials: tuple[Trial, ...]
    other: tuple[str, ...]


def bisection(comparison: Comparison, baseline: str, suite: str, folder: str = "bisect") -> Bisection:
    """What to run. baseline: as it was given; suite: the resolved suite of the run; folder: where virtual environments and their runs go.

    Raises RequestError where the sides do not compare, nothing regressed, or no package changed.
    """
    if comparison.verdict == "not comparable":
        raise RequestError(f"not comparable, so nothing to bisect: {comparison.obstacles[0].sentence}")
    cell = _cell(comparison)
    packages = [fact for fact in comparison.moved if fact.kind == "package" and fact.name not in NOT_FROM_PIP and " and " not in fact.before]
    packages = sorted(packages, key=lambda fact: not _touches(fact, cell))
    trials = [Trial(fact, tuple(_commands(fact, cell, baseline, suite, folder))) for fact in packages]
    other = tuple(_elsewhere(comparison.moved))
    if not trials and not other:
        raise RequestError("no package, driver or commit differs between the two: there is nothing to move back")
    return Bisection(cell, f"python -m pip freeze --exclude-editable > {folder}-tonight.txt", tuple(trials), other)


def _cell(comparison: Comparison) -> Row:
    """The regressed cell that took least time in the baseline: it is run once per package. That of the run, whose id the suite has."""
    regressed = set(comparison.regressed)
    pairs = [pair for pair in comparison.pairs if pair.left.record.cell.id in regressed]
    if not pairs:
        raise RequestError("no cell that both sides have regressed: there is nothing to bisect")
    return min(pairs, key=lambda pair: pair.left.record.timing.total or float("inf")).right


def _touches(fact: Moved, cell: Row) -> bool:
    """Whether the cell can tell the package's versions apart; those that can come first."""
    library = LIBRARIES.get(fact.name)
    return library is None or library[1](cell)


def _commands(fact: Moved, cell: Row, baseline: str, suite: str, folder: str) -> Iterator[str]:
    venv = f"{folder}/{fact.name}-{fact.before}"
    python = shlex.quote(f"{venv}/bin/python")
    yield f"python -m venv {shlex.quote(venv)}"
    yield f"{python} -m pip install -r {folder}-tonight.txt"
    yield f"{python} -m pip install --no-deps -e ."
    yield f"{python} -m pip uninstall -y {fact.name}" if fact.before == ABSENT else f"{python} -m pip install {shlex.quote(f'{fact.name}=={fact.before}')}"
    yield f"{python} -m harness run {shlex.quote(suite)} --only {cell.record.cell.id} --device {cell.record.environment.device} --out {shlex.quote(f'{venv}/run')}"
    yield f"{python} -m harness compare {shlex.quote(baseline)} {shlex.quote(f'{venv}/run')} --allow-different unfinished"


def _elsewhere(changed: Sequence[Moved]) -> Iterator[str]:
    for fact in changed:
        if fact.kind == "commit":
            first, last = (text.removesuffix(" with changes") for text in (fact.before, fact.now))
            yield f"git bisect start {last} {first}" if "absent" not in (first, last) and first != last else str(fact)
        elif fact.kind != "package" or fact.name in NOT_FROM_PIP or " and " in fact.before:
            yield str(fact)
