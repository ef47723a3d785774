"""`harness bisect-env`: the commands that run a regressed configuration again, one changed package at a time moved back.

A trial is a virtual environment that lies over tonight's: it looks for packages in its own folder first, where only the moved-back one is (and
what pip brings along for it), then in tonight's. So a trial takes seconds and the moved package's room, and all else is tonight's to the last
byte. A package that the baseline did not have cannot be hidden that way: it takes an environment of its own.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import harness
from harness.analysis.columns import Row
from harness.analysis.gate.compare import Comparison
from harness.analysis.gate.environment import Moved
from harness.analysis.gate.matching import Pair
from harness.analysis.gate.numbers import configurations
from harness.analysis.gate.suspects import LIBRARIES
from harness.errors import RequestError

NOT_FROM_PIP = ("python", "harness")
ABSENT = "absent"
TORCH_INDEX = "https://download.pytorch.org/whl/"  # has the builds that PyPI has not: torch 2.12.0+cu126


@dataclass(frozen=True)
class Tonight:
    """The environment that the commands start from. folders: where it finds packages. source: harness's own checkout, None where it was installed whole."""

    python: str
    version: str
    folders: tuple[str, ...]
    source: Path | None


def this_environment() -> Tonight:
    """The environment of this process."""
    checkout = Path(harness.__file__).resolve().parents[1]
    folders = tuple(path for path in sys.path if Path(path).name in ("site-packages", "dist-packages"))
    return Tonight(sys.executable, f"{sys.version_info.major}.{sys.version_info.minor}", folders, checkout if (checkout / "pyproject.toml").is_file() else None)


@dataclass(frozen=True)
class Asked:
    """How the comparison was asked for, which the trials' comparisons repeat. suite: the resolved suite of the run. folder: where environments and runs go."""

    baseline: str
    suite: str
    gate: str | None = None
    allowed: tuple[str, ...] = ()
    folder: str = "bisect"


@dataclass(frozen=True)
class Trial:
    """One package moved back. commands: lines of a shell, each complete in itself; the last one ends with 0 where this package did it."""

    package: Moved
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Bisection:
    """cells: those run again, the seeds of one configuration, chosen because it regressed and is quick. control: the same in tonight's environment;
    unless its comparison ends with 1, no trial means anything. other: what changed that pip does not move back, in words. cautions: what may make
    the trials mean something else."""

    cells: tuple[Row, ...]
    control: tuple[str, ...]
    trials: tuple[Trial, ...]
    other: tuple[str, ...]
    cautions: tuple[str, ...]


def bisection(comparison: Comparison, asked: Asked, tonight: Tonight, installed: Mapping[str, str]) -> Bisection:
    """What to run. installed: versions of packages in tonight's environment.

    Raises RequestError where the sides do not compare, nothing regressed, or no package changed.
    """
    if comparison.verdict == "not comparable":
        raise RequestError(f"not comparable, so nothing to bisect: {comparison.obstacles[0].sentence}")
    cells = tuple(pair.right for pair in _chosen(comparison))
    packages = [fact for fact in comparison.moved if _by_pip(fact)]
    packages = sorted(packages, key=lambda fact: not any(_touches(fact, cell) for cell in cells))
    trials = tuple(Trial(fact, (*_environment(fact, asked, tonight), *_experiment(cells, asked, _folder(fact, asked)))) for fact in packages)
    other = tuple(_elsewhere(comparison.moved))
    if not trials and not other:
        raise RequestError("no package, driver or commit differs between the two: there is nothing to move back")
    control = tuple(_experiment(cells, asked, f"{asked.folder}/tonight", tonight.python))
    return Bisection(cells, control, trials, other, tuple(_cautions(comparison, installed)))


def _chosen(comparison: Comparison) -> tuple[Pair, ...]:
    """The seeds of the regressed configuration that took least time in the baseline: they are run once per package. All of them, because a
    change that several seeds showed one of them may not."""
    regressed = set(comparison.regressed)
    groups = [group for group in configurations(comparison.pairs) if any(pair.left.record.cell.id in regressed for pair in group)]
    if not groups:
        raise RequestError("no cell that both sides have regressed: there is nothing to bisect")
    return min(groups, key=lambda group: sum(pair.left.record.timing.total or float("inf") for pair in group))


def _by_pip(fact: Moved) -> bool:
    """Whether it is one package at one version, which pip can install."""
    return fact.kind == "package" and fact.name not in NOT_FROM_PIP and " and " not in fact.before


def _touches(fact: Moved, cell: Row) -> bool:
    """Whether the cell can tell the package's versions apart; those that can come first."""
    library = LIBRARIES.get(fact.name)
    return library is None or library[1](cell)


def _folder(fact: Moved, asked: Asked) -> str:
    return f"{asked.folder}/{fact.name}-{fact.before}"


def _environment(fact: Moved, asked: Asked, tonight: Tonight) -> Iterator[str]:
    """The environment of a trial: over tonight's, or its own where the package must not be in it."""
    venv = _folder(fact, asked)
    tonights, python = shlex.quote(tonight.python), shlex.quote(f"{venv}/bin/python")
    if fact.before == ABSENT:
        listed = shlex.quote(f"{venv}/tonight.txt")
        without = "" if tonight.source is None else " --exclude-editable --exclude harness"
        yield f"{tonights} -m venv {shlex.quote(venv)}"
        yield f"{tonights} -m pip freeze{without} --exclude {fact.name} > {listed}"
        yield f"{python} -m pip install --no-deps -r {listed}"
        if tonight.source is not None:
            yield f"{python} -m pip install --no-deps -e {shlex.quote(str(tonight.source))}"
        return
    local = fact.before.partition("+")[2]
    index = f"--extra-index-url {TORCH_INDEX}{local} " if fact.name == "torch" and local else ""
    yield f"{tonights} -m venv --without-pip {shlex.quote(venv)}"
    lines = " ".join(shlex.quote(f"import site; site.addsitedir({json.dumps(folder)})") for folder in tonight.folders)
    yield f"printf '%s\\n' {lines} > {shlex.quote(f'{venv}/lib/python{tonight.version}/site-packages/tonight.pth')}"
    yield f"{python} -m pip install {index}{shlex.quote(f'{fact.name}=={fact.before}')}"


def _experiment(cells: Sequence[Row], asked: Asked, folder: str, python: str | None = None) -> Iterator[str]:
    """The cells run, with a cache of their own because weights that tonight's packages quantized would be read from the shared one, and compared."""
    harness_of = f"{shlex.quote(python or f'{folder}/bin/python')} -m harness"
    run, cache = (shlex.quote(f"{folder}/{name}") for name in ("run", "cache"))
    only = " ".join(f"--only {cell.record.cell.id}" for cell in cells)
    gate = f" --gate {shlex.quote(asked.gate)}" if asked.gate else ""
    allowed = " ".join(f"--allow-different {name}" for name in dict.fromkeys([*asked.allowed, "unfinished"]))
    yield f"HARNESS_CACHE={cache} {harness_of} run {shlex.quote(asked.suite)} {only} --device {cells[0].record.environment.device} --out {run}"
    yield f"{harness_of} compare {shlex.quote(asked.baseline)} {run}{gate} {allowed}"


def _cautions(comparison: Comparison, installed: Mapping[str, str]) -> Iterator[str]:
    """Packages that are here in other versions than the run recorded."""
    recorded = {name: version for pair in comparison.pairs for name, version in pair.right.record.environment.packages.items()}
    differing = [f"{name} {version}, here {installed.get(name, ABSENT)}" for name, version in recorded.items() if installed.get(name) != version]
    if differing:
        yield f"this environment is not the run's: it had {'; '.join(differing)}"


def _elsewhere(changed: Sequence[Moved]) -> Iterator[str]:
    for fact in changed:
        if fact.kind == "commit":
            first, last = (text.removesuffix(" with changes") for text in (fact.before, fact.now))
            yield f"git bisect start {last} {first}" if "absent" not in (first, last) and first != last else str(fact)
        elif not _by_pip(fact):
            yield str(fact)
