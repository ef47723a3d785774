"""From the records of a probe to verdicts: which method works on which scheme and family, and to the page that shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.columns import Row
from harness.analysis.run import Run
from harness.analysis.table import Column, Entry, Table
from harness.errors import RequestError
from harness.records.parts import CHECKS, CheckName
from harness.records.schema import Record
from harness.suite.compatibility import PACKAGES, CompatibilityMap, Finding, Verdict, families

SYMBOLS: dict[Verdict, str] = {"works": "✓", "unsupported": "–", "broken": "✗", "silently wrong": "!"}
# Of several cells of one pair (seeds, models of a family) the first of these counts.
WORST_FIRST: tuple[Verdict, ...] = ("silently wrong", "broken", "works", "unsupported")

MEANINGS: dict[CheckName, str] = {
    "counts": "as many parameters require gradients as the method's formula says (a miss is listed below, and is no verdict)",
    "trains": "a dozen steps on one real batch lower the loss, at the best of four learning rates",
    "gradients": "every gradient is finite",
    "moves": "every parameter that should train has changed; nudging one that has not leaves the loss the same to the last bit",
    "frozen": "every weight of the base that is not tuned is the same, bit by bit, quantization constants included",
    "turns_off": "with the method turned off, the logits are the base's, bit by bit",
    "reloads": "saved, and loaded into a fresh base, it gives the same logits, to a hundred-thousandth of the largest",
    "checkpoints": "gradient checkpointing gives the gradients that training without it gives",
    "generates": "generating with the cache gives the logits of whole forward passes, where the base's own do",
    "pads": "a prompt padded on the left gives the logits that it gives alone, where the base's own do",
    "merges": "merged, it answers as before: to a relative error of a thousandth where weights are stored in full precision, of twice "
    "what quantizing the base itself makes where the sum is quantized again, and nearer than the untuned base in any case",
    "trainer": "two steps of transformers' Trainer, of four accumulated batches each, as cells are trained: they begin at the method's loss "
    "(dropout off), to a factor of two, and move something that should train and nothing else",
}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """One cell of a probe. checks: those that failed, or the one that it broke in."""

    family: str
    scheme: str
    method: str
    verdict: Verdict
    checks: tuple[CheckName, ...] = ()
    reason: str | None = None


def compatibility_map(run: Run) -> CompatibilityMap:
    """The verdicts of a probe's run directory; raises RequestError where its records are not those of a probe."""
    suite = run.require_suite()
    if not run.rows or not suite.measure.probe:
        raise RequestError(f"{run.path} has no records of a probe: its suite needs measure: {{probe: true}}")
    family = families(suite)
    latest = max((row.record for row in run.rows), key=lambda record: record.finished)
    return CompatibilityMap(
        made=f"{latest.finished:%Y-%m-%d}",
        device=latest.environment.gpu or latest.environment.device,
        versions={name: latest.environment.packages[name] for name in PACKAGES if name in latest.environment.packages},
        schemes=list(dict.fromkeys(entry.config.scheme for entry in suite.quantization)),
        methods={entry.id: entry.config.model_dump(mode="json", exclude_unset=True) for entry in suite.methods},
        findings=_findings([judged(row, family.get(row.record.cell.model, row.record.cell.model)) for row in run.rows]),
    )


def judged(row: Row, family: str) -> Judged:
    """The verdict on one cell of a probe."""
    record = row.record
    verdict, checks, reason = _verdict(record)
    return Judged(family, str(row.config("scheme", "scheme")), record.cell.method, verdict, checks, reason)


def _verdict(record: Record) -> tuple[Verdict, tuple[CheckName, ...], str | None]:
    outcome = record.outcome
    if outcome.status == "unsupported":
        return "unsupported", (), outcome.message
    done = [check.name for check in record.probe or ()]
    if outcome.status != "ok":
        step = next(name for name in CHECKS if name not in done) if outcome.phase == "probe" else None
        words = [] if step is None else ["attaching" if not done else step]
        return "broken", () if step is None else (step,), ": ".join([*words, outcome.message or outcome.status])
    failed = [check for check in record.probe or () if check.passed is False and check.name != "counts"]
    if not failed:
        return "works", (), None
    return "silently wrong", tuple(check.name for check in failed), "; ".join(f"{check.name}: {check.detail}" for check in failed)


def miscounts(run: Run) -> list[str]:
    """Cells whose trainable parameters are not what the method's formula says, in words: errors of ours."""
    return [
        f"{row.name('task', 'seed')}: {check.detail}"
        for row in run.rows
        for check in row.record.probe or ()
        if check.name == "counts" and check.passed is False
    ]


def _findings(cells: Sequence[Judged]) -> list[Finding]:
    """One finding for all pairs of a method with the same verdict, and the same checks or the same reason."""
    worst: dict[tuple[str, str, str], Judged] = {}
    for cell in sorted(cells, key=lambda cell: WORST_FIRST.index(cell.verdict)):
        worst.setdefault((cell.method, cell.family, cell.scheme), cell)
    groups: dict[Any, list[Judged]] = defaultdict(list)
    for cell in cells:
        chosen = worst.pop((cell.method, cell.family, cell.scheme), None)
        if chosen is not None:
            same_reason = None if chosen.verdict == "silently wrong" else chosen.reason
            groups[(chosen.method, chosen.verdict, chosen.checks, same_reason)].append(chosen)
    return [
        Finding(method=method, verdict=verdict, checks=list(checks), reason=group[0].reason, pairs=_pairs(group))
        for (method, verdict, checks, _), group in groups.items()
    ]


def _pairs(group: Sequence[Judged]) -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = defaultdict(list)
    for cell in group:
        pairs[cell.family].append(cell.scheme)
    return dict(pairs)


def family_tables(found: CompatibilityMap) -> Iterator[Table]:
    """A table for each family: methods by schemes, a symbol each, its reason in a footnote."""
    for family in dict.fromkeys(family for finding in found.findings for family in finding.pairs):
        yield _family_table(found, family)


def _family_table(found: CompatibilityMap, family: str) -> Table:
    marks: dict[str, str] = {}
    places: dict[tuple[str, str], Entry] = {}
    for finding in found.findings:
        for scheme in finding.pairs.get(family, ()):
            mark = () if finding.reason is None else (marks.setdefault(finding.reason, str(len(marks) + 1)),)
            places[finding.method, scheme] = Entry(SYMBOLS[finding.verdict], marks=mark)
    schemes = [scheme for scheme in found.schemes if any(scheme == at for _, at in places)]
    methods = [method for method in found.methods if any(method == at for at, _ in places)]
    rows = tuple(
        (Entry(method), *(places.get((method, scheme), Entry("")) for scheme in schemes)) for method in methods
    )
    columns = (Column("method", names=True), *(Column(scheme, names=True) for scheme in schemes))
    return Table(f"compatibility-{family}", family, columns, rows, footnotes={mark: reason for reason, mark in marks.items()})


def verdict_counts(found: CompatibilityMap) -> dict[Verdict, int]:
    """How many pairs of method, scheme and family have each verdict."""
    counts: dict[Verdict, int] = dict.fromkeys(SYMBOLS, 0)
    for finding in found.findings:
        counts[finding.verdict] += sum(len(schemes) for schemes in finding.pairs.values())
    return counts
