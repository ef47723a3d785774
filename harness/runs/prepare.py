"""What a run decides before it writes anything: its plan, which cells were selected, and its directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.measure.environment import environment, machine
from harness.runs.directory import Contents, RunFacts, choose, outdated
from harness.runs.resume import select
from harness.suite.cell import Cell
from harness.suite.exclude import place
from harness.suite.load import resolved_yaml
from harness.suite.plan import Plan, make_plan
from harness.suite.schema import Suite


@dataclass(frozen=True)
class RunOptions:
    """What the command line says of a run. out: None for results/<suite>/<timestamp> or the newest unfinished one.

    own_weights: quantized weights are made anew in the run directory, none is taken from the user's cache or left there.
    wait: where another process runs in the directory, wait for its end and go on with what it left; else RunInUse.
    searches: what fits is searched where the suite asks for it (`measure.fit`).
    max_failures: no further cell is started once as many have failed or taken too long; None: however many.
    """

    out: Path | None = None
    only: Sequence[str] = ()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    executor: str = "local"
    jobs: int = 1
    fresh: bool = False
    results: Path = Path("results")
    own_weights: bool = False
    wait: bool = True
    searches: bool = True
    max_failures: int | None = None


@dataclass(frozen=True)
class Prepared:
    """left_behind: an unfinished run that cannot be gone on with, because its cells' ids are of another version."""

    plan: Plan
    selected: list[Cell]
    run: Path
    contents: Contents
    left_behind: Path | None


def prepare(suite: Suite, options: RunOptions) -> Prepared:
    """Plans the suite and chooses the directory. Writes nothing there; raises SuiteError, RequestError."""
    target = machine(options.device)
    plan = make_plan(suite, target)
    selected = select(plan.cells, options.only)
    device: Literal["cpu", "cuda"] = "cuda" if target.device == "cuda" else "cpu"
    facts = RunFacts(suite=suite.name, profile=suite.profile, device=device, planned={cell.id: place(cell.labels) for cell in plan.cells})
    left_behind = outdated(facts, options.results) if options.out is None and not options.fresh else None
    run = choose(facts, options.out, options.results, options.fresh)
    return Prepared(plan, selected, run, Contents(facts, resolved_yaml(suite), environment(device)), left_behind)
