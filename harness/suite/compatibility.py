"""The compatibility map: which method works on which scheme and family, as `harness probe` has found, and what a plan says of it.

The map ships with the package (compatibility.json); a method that it does not list, a third party's, is never objected to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from pydantic import Field

from harness.errors import Problem
from harness.methods.base import Method
from harness.models.facts import read_facts
from harness.records.parts import CheckName
from harness.suite.cell import Cell, CellConfig
from harness.suite.schema import Suite
from harness.suite.section import Section

MAP = Path(__file__).with_name("compatibility.json")
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")

Verdict: TypeAlias = Literal["works", "unsupported", "broken", "silently wrong"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
WRONG: tuple[Verdict, ...] = ("broken", "silently wrong")


class Finding(Section):
    """One verdict on a method, and where it holds."""

    method: str = Field(description="the method's id in `methods` of the map")
    verdict: Verdict
    checks: list[CheckName] = Field(default_factory=list, description="the checks that failed, or the one that it broke in")
    reason: str | None = Field(default=None, description="what was found, or why it is unsupported; of the first pair where they differ in numbers")
    pairs: dict[str, list[str]] = Field(description="model type -> schemes")


class CompatibilityMap(Section):
    """What a probe found.

    methods: by id, what the probe's suite gave of each method.
    """

    made: str = Field(description="date of the last record")
    device: str
    versions: dict[str, str]
    schemes: list[str]
    methods: dict[str, dict[str, Any]]
    findings: list[Finding]

    def findings_on(self, config: CellConfig, family: str) -> list[Finding]:
        """What is wrong with the pair that the cell is; checks that matter only for settings that it has not left out."""
        label = self._label(config.method)
        skipped = set() if config.train.gradient_checkpointing else {"checkpoints"}
        return [
            finding
            for finding in self.findings
            if finding.method == label
            and finding.verdict in WRONG
            and config.scheme.while_tuning.scheme in finding.pairs.get(family, ())
            and (not finding.checks or set(finding.checks) - skipped)
        ]

    def trouble(self, config: CellConfig, family: str) -> str | None:
        """What is known to be wrong with the cell's method on its scheme and that family, in a sentence; None for nothing."""
        found = [f"{finding.verdict}: {finding.reason}" for finding in self.findings_on(config, family)]
        if not found or config.measure.probe:
            return None
        other = ", ".join(f"{name} {was}" for name, was in self.versions.items() if _installed(name) != was)
        circumstance = f"tried on {self.device}" + (f", with other versions than these here: {other}" if other else "")
        return f"{config.method.method} on {config.scheme.while_tuning.scheme} weights of {family} models is {'; '.join(found)} ({circumstance}; docs/compatibility.md)"

    def _label(self, method: Method) -> str | None:
        """The id of the tried method that says most of what this one says; None where no such was tried."""
        values = method.model_dump(mode="json")
        fitting = [label for label, given in self.methods.items() if _marks(given).items() <= _marks(values).items()]
        return max(fitting, key=lambda label: len(self.methods[label]), default=None)


def _marks(given: Mapping[str, Any]) -> dict[str, Any]:
    """What makes another method of it: texts, switches and lists of texts; of sizes, that there is one.

    `peft_type: OFT` and `use_dora: true` do, `r: 8` does not, and of `loraplus_lr_ratio: 16` not the 16.
    """
    return {name: value if _is_kind(value) else True for name, value in given.items() if value is not None}


def _is_kind(value: Any) -> bool:
    return isinstance(value, str | bool) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


@cache
def read_map(file: Path) -> CompatibilityMap | None:
    """The map in that file; None where there is none."""
    return CompatibilityMap.model_validate_json(file.read_bytes()) if file.is_file() else None


def known_trouble(config: CellConfig, family: str) -> str | None:
    """What the shipped map knows to be wrong with a cell; None for nothing."""
    found = read_map(MAP)
    return None if found is None else found.trouble(config, family)


def known_problems(suite: Suite, cells: Iterable[Cell]) -> Iterator[Problem]:
    """A warning for every pair of method and scheme on a family that the shipped map knows to be wrong, each once."""
    ids = [entry.id for entry in suite.methods]
    asked: dict[tuple[object, ...], str | None] = {}
    for cell in cells:
        config, facts = cell.config, cell.model_facts
        if cell.unsupported is not None or facts is None:
            continue
        key = (cell.labels.method, id(config.method), id(config.scheme), facts.model_type, config.train.gradient_checkpointing)
        if key in asked:
            continue
        trouble = known_trouble(config, facts.model_type)
        if trouble is not None and trouble not in asked.values():
            yield suite.problem(("methods", ids.index(cell.labels.method)), trouble)
        asked[key] = trouble


def families(suite: Suite) -> dict[str, str]:
    """Model id -> its model type, of all models that are known here."""
    facts = ((entry.id, read_facts(entry.config)) for entry in suite.models)
    return {label: found.model_type for label, found in facts if found is not None}


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
