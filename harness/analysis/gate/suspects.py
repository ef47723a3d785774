"""Why it is worse: what changed, ranked by how well the cells that it touches are the cells that regressed.

A suspect touches cells: those whose scheme comes from the library, all of them for torch or the driver, those whose clocks were
slowed. Its strength is the share of the touched cells that regressed less that of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.analysis.columns import Row
from harness.analysis.gate.environment import Moved
from harness.analysis.gate.events import Event
from harness.analysis.gate.matching import Pair

WITHOUT_PEFT = ("none", "full", "few-shot", "zero-shot", "bitfit", "layernorm", "top-k*")  # they change the model's own weights, or none
AXES = ("quantization", "method", "model", "task")


@dataclass(frozen=True)
class Suspect:
    """strength: 1 where it touches the regressed cells and no others, 0 where it tells nothing."""

    strength: float
    sentence: str


def _scheme(*globs: str) -> Callable[[Row], bool]:
    return lambda row: any(fnmatchcase(str(row.config("scheme", "scheme")), glob) for glob in globs)


def _optimizer(*words: str) -> Callable[[Row], bool]:
    return lambda row: row.record.training is not None and any(word in str(row.config("train", "optim")) for word in words)


def _bitsandbytes(row: Row) -> bool:
    return _scheme("bnb-*")(row) or _optimizer("bnb", "8bit", "paged")(row)


def _peft(row: Row) -> bool:
    return not any(fnmatchcase(str(row.config("method", "method")), glob) for glob in WITHOUT_PEFT)


#: Package -> the cells that it touches, in words and as a test; a package that is not here touches all.
LIBRARIES: Mapping[str, tuple[str, Callable[[Row], bool]]] = {
    "bitsandbytes": ("with bnb-* or its optimizers", _bitsandbytes),
    "gptqmodel": ("with gptq-* or awq-*", _scheme("gptq*", "awq*")),
    "optimum": ("with gptq-*", _scheme("gptq*")),
    "hqq": ("with hqq-*", _scheme("hqq*")),
    "torchao": ("with torchao-*", _scheme("torchao*")),
    "optimum-quanto": ("with quanto-*", _scheme("quanto*")),
    "peft": ("tuned through PEFT", _peft),
    "lm-eval": ("evaluated by lm-eval", lambda row: any("lm_eval" in metric.protocol or "lm-eval" in metric.protocol for metric in row.record.metrics)),
}


def suspects(pairs: Sequence[Pair], regressed: Collection[str], changed: Sequence[Moved], happened: Sequence[Event]) -> list[Suspect]:
    """What may have done it, the likeliest first; nothing where nothing regressed. regressed: ids of the baseline's cells."""
    rows = {pair.left.record.cell.id: pair.left for pair in pairs}
    bad = set(regressed) & set(rows)
    if not bad:
        return []
    found = [*_other_ways(rows, bad, happened), *_slowed(pairs, bad), *_versions(rows, bad, changed)]
    if not any(suspect.strength == 1 for suspect in found):
        found += _shared(rows, bad)
    return sorted(found, key=lambda suspect: -suspect.strength)


def _versions(rows: Mapping[str, Row], bad: set[str], changed: Sequence[Moved]) -> Iterator[Suspect]:
    for fact in changed:
        if fact.kind == "machine" and fact.name in ("host", "memory_bytes"):
            continue
        words, touches = LIBRARIES.get(fact.name, ("", None))
        touched = {id_ for id_, row in rows.items() if touches is None or touches(row)}
        yield from _suspect(str(fact), words, touched, rows, bad)


def _other_ways(rows: Mapping[str, Row], bad: set[str], happened: Sequence[Event]) -> Iterator[Suspect]:
    """Cells that read other rows, or hold their weights otherwise, though nothing in their definition says so."""
    for kinds, what in ((("other data",), "the data"), (("other weights", "stored otherwise"), "how weights are stored")):
        touched = {event.cell for event in happened if event.kind in kinds} & set(rows)
        yield from _suspect(f"{what} changed behind an unchanged definition", "that it happened to", touched, rows, bad)


def _slowed(pairs: Sequence[Pair], bad: set[str]) -> Iterator[Suspect]:
    """The card slowed its clocks now and not before, or somebody else was on it."""
    rows = {pair.left.record.cell.id: pair.left for pair in pairs}
    slowed = [pair for pair in pairs if pair.right.record.timing.throttled and not pair.left.record.timing.throttled]
    reasons = sorted({reason for pair in slowed for found in pair.right.record.timing.throttled.values() for reason in found})
    yield from _suspect(f"the GPU slowed its clocks ({', '.join(reasons)}), not so in the baseline", "in which it did", _ids(slowed), rows, bad)
    disturbed = [pair for pair in pairs if pair.right.record.memory.others and not pair.left.record.memory.others]
    yield from _suspect("other processes were on the GPU, not so in the baseline", "that were disturbed", _ids(disturbed), rows, bad)


def _ids(pairs: Sequence[Pair]) -> set[str]:
    return {pair.left.record.cell.id for pair in pairs}


def _shared(rows: Mapping[str, Row], bad: set[str]) -> Iterator[Suspect]:
    """What the regressed cells, and they alone, have in common, where nothing that changed is theirs alone."""
    for axis in AXES:
        for value in dict.fromkeys(row.axes[axis] for row in rows.values()):
            touched = {id_ for id_, row in rows.items() if row.axes[axis] == value}
            if touched == bad and len(touched) < len(rows):
                yield from _suspect(f"something that only {axis} {value} uses", f"with {axis} {value}", touched, rows, bad)


def _suspect(what: str, words: str, touched: set[str], rows: Mapping[str, Row], bad: set[str]) -> Iterator[Suspect]:
    """The suspect, unless no regressed cell is touched."""
    hit, others = len(touched & bad), len(rows) - len(touched)
    if not hit:
        return
    if not others:
        yield Suspect(0.5 * hit / len(rows), f"{what}: it touches every cell; {_of(hit, len(rows))} regressed")
        return
    missed = len(bad - touched)
    cells = f"{_of(hit, len(touched))} {words} regressed".replace("  ", " ")
    yield Suspect(hit / len(touched) - missed / others, f"{what}: {cells}, {missed or 'none'} of the {others} other{'s' if others > 1 else ''}")


def _of(count: int, whole: int) -> str:
    cells = "cell" if whole == 1 else "cells"
    return f"all {whole} {cells}" if count == whole > 1 else "the one cell" if count == whole else f"{count} of {whole} {cells}"
