"""What all forms of a comparison say in the same words."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.gate.compare import Comparison
from harness.analysis.gate.events import NO_RESULT


def verdict_line(found: Comparison) -> str:
    """The answer in one line: `REGRESSION: 6 of 18 cells are worse than nightly: ...`."""
    if found.verdict == "not comparable":
        return f"NOT COMPARABLE: {found.obstacles[0].sentence}" + _more(len(found.obstacles) - 1, "reason")
    cells = len(found.pairs) + sum(event.kind in ("vanished", "unreadable") for event in found.events)
    if found.verdict == "nothing worse":
        return f"OK: nothing is worse in {cells} cell{'s' if cells > 1 else ''}, {len(found.changes)} numbers"
    count = len(found.regressed)
    return f"REGRESSION: {count} of {cells} cells {'is' if count == 1 else 'are'} worse: {', '.join(_kinds(found))}"


def _kinds(found: Comparison) -> Iterator[str]:
    """What is worse, by kind, each with the number of cells."""
    kinds: dict[str, set[str]] = {}
    for event in found.regressions:
        kinds.setdefault(event.kind, set()).add(event.cell)
    for change in found.worse:
        kinds.setdefault(change.number.quantity.label, set()).update(change.cells)
    yield from (f"{kind} ({len(cells)})" for kind, cells in kinds.items())


def notices(found: Comparison) -> Iterator[str]:
    """What a person should know that fails nothing."""
    for obstacle in found.obstacles if found.verdict != "not comparable" else ():
        yield f"Compared in spite of this ({obstacle.kind}): {obstacle.sentence}"
    if found.right.suite is None and found.right.suite_problem and found.left.suite is None:
        yield f"The gate's defaults hold, not the suite's own: {found.right.name} has no suite.yaml that can be read"
    undecided = [change for change in found.of("undecided") if change.worse]
    if undecided:
        largest = max(undecided, key=lambda change: abs(change.relative or 0.0))
        counts = ("and fail" if len(undecided) > 1 else "and fails") + (" the gate" if found.gate.undecided == "fail" else " nothing")
        known = "is not known" if largest.chance.p is None else "is known from too few measurements"
        yield (
            f"{_numbers(len(undecided))} worse by more than the tolerance {counts}, because the noise {known}, such as "
            f"{largest.place}: {largest.sentence}; harness noise measures it, and a baseline saved from its run keeps it"
        )
    failed = [pair.left.name() for pair in found.pairs if pair.left.record.outcome.status in NO_RESULT and not pair.right.ok]
    if failed:
        yield f"{len(failed)} cell{'s' if len(failed) > 1 else ''} failed in the baseline already, so that nothing can be worse there, such as {failed[0]}"
    for event in found.events:
        if not event.regression:
            yield f"{event.place}: {event.sentence}"
    for change in found.of("changed"):
        yield f"{change.place}: {change.sentence}"
    if found.new:
        several = len(found.new) > 1
        yield f"{len(found.new)} cell{'s are' if several else ' is'} new and compare{'' if several else 's'} with nothing{', such as' if several else ':'} {found.new[0].name()}"


def _numbers(count: int) -> str:
    return f"{count} numbers are" if count > 1 else "one number is"


def _more(count: int, what: str) -> str:
    return f" (and {count} more {what}{'s' if count > 1 else ''})" if count else ""
