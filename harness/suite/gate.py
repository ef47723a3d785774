"""The suite's `gate:`: which changes against a baseline count as regressions (`harness compare`). Also a file of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from harness.errors import Problem, SuiteError, nearest
from harness.quantities import QUANTITIES, Quantity
from harness.records.parts import PHASES
from harness.suite.nodes import KeyPath, MappingNode, problem
from harness.suite.section import Section
from harness.suite.validation import validated
from harness.suite.yaml_nodes import read_yaml

_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
#: Of these only their causes are judged, or they say more of the machine's neighbours than of the cell. A pattern of one's own judges them.
NOT_JUDGED = (
    "*:*", "*.p90", "*.p99", "*_overhead", "timing.total", "*.load", "*.attach", "*.check", "*.probe", "*.evaluate_dev", "*.merge", "*.requantize",
    "memory.attach_peak", "memory.check_peak", "memory.probe_peak", "memory.evaluate_dev_peak", "memory.*_outside_torch", "memory.*_fragmentation", "training.data_wait*", "training.padded_tokens_per_second", "training.samples_per_second",
    "training.mfu", "energy.joules_per_*", "quantization.seconds", "quantization.peak_bytes",
)  # fmt: skip


def _relative(text: str) -> str:
    if _PERCENT.fullmatch(text.strip()) is None:
        raise ValueError(f"expected a number in the unit that reports print, or a share such as 2 %, found {text!r}")
    return text


NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Tolerance(NamedTuple):
    """How much a number may get worse. relative: amount is a share of the baseline's value, else in the unit that reports print."""

    amount: float
    relative: bool

    def of(self, value: float, quantity: Quantity) -> float:
        """The tolerance at that value of the baseline, in the quantity's stored unit."""
        return self.amount * abs(value) if self.relative else self.amount / quantity.points

    def words(self, quantity: Quantity) -> str:
        """`2 %`, or the amount in the quantity's unit."""
        return f"{100 * self.amount:g} %" if self.relative else quantity.show(self.amount / quantity.points)


class Limit(Section):
    """How far a quantity may get worse; in which direction worse is says harness.quantities."""

    tolerance: NotNegative | Annotated[str, AfterValidator(_relative)] | None = Field(
        default=None, description="in the unit that reports print (shares in points of a hundred), or relative to the baseline: 2 %"
    )
    ignore: bool = Field(default=False, description="do not judge it at all")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Limit:
        if (self.tolerance is None) != self.ignore:
            raise ValueError("give a tolerance, or ignore: true, and not both")
        return self

    @property
    def parsed(self) -> Tolerance:
        """The tolerance as a number; 0 where it is ignored."""
        found = _PERCENT.fullmatch(self.tolerance.strip()) if isinstance(self.tolerance, str) else None
        return Tolerance(float(self.tolerance or 0), False) if found is None else Tolerance(float(found.group(1)) / 100, True)


IGNORED = Limit(ignore=True)


class Gate(Section):
    """When tonight is worse than the baseline: a change must exceed its tolerance and the noise."""

    alpha: float = Field(default=0.01, gt=0, lt=1, description="share of comparisons in which anything is called worse or better although nothing was changed; all numbers of a comparison share it (Holm)")
    undecided: Literal["pass", "fail"] = Field(default="pass", description="what a change beyond its tolerance counts as whose noise is not known")
    quantities: dict[str, Limit] = Field(
        default_factory=dict, description="glob on addresses of quantities -> limit; of several that match the last one counts; others have defaults (docs/gate.md)"
    )

    def limit(self, quantity: Quantity) -> Limit:
        """What holds for the number at that address: of its own patterns the last that matches, else the default."""
        own = [limit for pattern, limit in self.quantities.items() if fnmatchcase(quantity.key, pattern)]
        return own[-1] if own else default_limit(quantity)

    def over(self, under: Gate) -> Gate:
        """This gate laid over another one: its settings where it gives them, its patterns after the other's."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"quantities"}}
        patterns = {pattern: limit for pattern, limit in under.quantities.items() if pattern not in self.quantities}
        return under.model_copy(update=given | {"quantities": patterns | self.quantities})


def default_limit(quantity: Quantity) -> Limit:
    """Scores: no worse at all beyond the noise (lower-is-better ones, such as perplexity: 0.5 %); counts exactly; bytes 2 %; the rest 10 %."""
    if any(fnmatchcase(quantity.key, pattern) for pattern in NOT_JUDGED):
        return IGNORED
    if quantity.exact or quantity.higher_is_better is None:
        return Limit(tolerance=0)
    if quantity.quality:
        return Limit(tolerance=0) if quantity.higher_is_better else Limit(tolerance="0.5 %")
    return Limit(tolerance="2 %") if quantity.unit == "bytes" else Limit(tolerance="10 %")


def read_gate(path: Path) -> Gate:
    """The gate in a YAML file with the keys of `gate:`; raises SuiteError with every problem at its line."""
    root = read_yaml(path)
    problems: list[Problem] = []
    gate = validated(Gate, root, root, (), problems)
    problems += gate_problems(gate, root, ()) if gate is not None else []
    if problems or gate is None:
        raise SuiteError(sorted(problems, key=lambda each: (each.line or 0, each.column or 0)))
    return gate


def gate_problems(gate: Gate, root: MappingNode, path: KeyPath) -> Iterator[Problem]:
    """A problem for every pattern that no quantity has. path: where the gate stands in the tree."""
    known = list(_addresses())
    for pattern in gate.quantities:
        name = pattern.partition(":")[0].partition("@")[0]
        if not any(fnmatchcase(address, name) or fnmatchcase(address, pattern) for address in known):
            guess = nearest(name, known)
            message = f"no metric or quantity matches {pattern!r}" + (f"; did you mean {guess}?" if guess else "")
            yield problem(root, (*path, "quantities", pattern), message, key=True)


def _addresses() -> Iterator[str]:
    yield from QUANTITIES
    for phase in PHASES:
        yield from (f"timing.{phase}", f"energy.{phase}", f"memory.{phase}_peak", f"memory.{phase}_outside_torch", f"memory.{phase}_fragmentation")
