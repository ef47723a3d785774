"""What else than the code of a cell changed between two runs: versions, driver, machine, commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis.columns import Row
from harness.records.schema import Environment

Kind = Literal["package", "driver", "machine", "commit"]
COMMIT_LETTERS = 10


@dataclass(frozen=True)
class Moved:
    """One fact that differs. before, now: as records say it; of a run with cells of several versions all of them."""

    name: str
    kind: Kind
    before: str
    now: str

    def __str__(self) -> str:
        if self.kind == "commit":
            return f"commit {self.before}..{self.now}"
        return f"{self.name} {self.before} → {self.now}"


def moved(left: Sequence[Row], right: Sequence[Row]) -> list[Moved]:
    """Every fact that differs between the cells of the baseline and those of the run: packages, then driver, commit and machine."""
    ours, theirs = (_facts([row.record.environment for row in side]) for side in (left, right))
    keys = sorted(dict.fromkeys([*ours, *theirs]), key=lambda key: ("package", "driver", "commit", "machine").index(key[0]))
    return [Moved(name, kind, ours.get((kind, name), "absent"), theirs.get((kind, name), "absent")) for kind, name in keys if ours.get((kind, name)) != theirs.get((kind, name))]


def _facts(places: Sequence[Environment]) -> dict[tuple[Kind, str], str]:
    values: dict[tuple[Kind, str], dict[str, None]] = {}
    for place in places:
        for kind, name, value in _of(place):
            values.setdefault((kind, name), {})[value] = None
    return {key: " and ".join(sorted(found)) for key, found in values.items()}


def _of(place: Environment) -> Iterator[tuple[Kind, str, str]]:
    for name, version in place.packages.items():
        yield "package", name, version
    yield "package", "python", place.python
    yield "package", "harness", place.harness
    for fact in ("driver", "cuda"):
        if getattr(place, fact) is not None:
            yield "driver", fact, getattr(place, fact)
    if place.git is not None:
        yield "commit", "commit", place.git.commit[:COMMIT_LETTERS] + (" with changes" if place.git.dirty else "")
    for fact in ("gpu", "cpu", "cores", "memory_bytes", "platform", "host"):
        if getattr(place, fact) is not None:
            yield "machine", fact, str(getattr(place, fact))
