"""`junit`: JUnit XML as CI's test viewers read it: each cell a test case, a failure for what is worse in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.analysis.columns import Row
from harness.analysis.gate.compare import Comparison
from harness.outside import printable
from harness.report.gate.words import notices, verdict_line

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML 1.0 has no way to write


def gate_junit(found: Comparison) -> str:
    """One test suite. Not comparable: one test case with an error, because no cell was looked at."""
    suite = Element("testsuite", name=_clean(f"harness compare {found.left.name}"))
    if found.verdict == "not comparable":
        case = SubElement(suite, "testcase", classname="harness.compare", name="comparable", time="0")
        text = "\n".join(obstacle.sentence for obstacle in found.obstacles)
        SubElement(case, "error", type="not comparable", message=_clean(verdict_line(found))).text = _clean(text)
    for row in _cells(found):
        _case(suite, row, found)
    told = [verdict_line(found), *(suspect.sentence for suspect in found.suspects), *(move.sentence for move in found.phases), *notices(found)]
    SubElement(suite, "system-out").text = _clean("\n".join(told))
    counts = {name: len(suite.findall(f"testcase/{tag}")) for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))}
    totals = {"tests": str(len(suite.findall("testcase")))} | {name: str(count) for name, count in counts.items()}
    suite.attrib |= totals
    whole = Element("testsuites", totals)
    whole.append(suite)
    indent(whole)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(whole, encoding="unicode") + "\n"


def _cells(found: Comparison) -> Iterator[Row]:
    """The baseline's cells, then those of the run alone; none where nothing was compared."""
    if found.verdict != "not comparable":
        yield from found.left.rows
        yield from found.new


def _case(suite: Element, row: Row, found: Comparison) -> None:
    part = row.record.cell
    seconds = {pair.left.record.cell.id: pair.right.record.timing.total for pair in found.pairs}.get(part.id)
    case = SubElement(suite, "testcase", classname=_clean(f"{part.suite}.{part.task}"), name=_clean(row.name("task")), time=f"{seconds or 0:.3f}")
    for kind, sentence in _failures(part.id, found):
        SubElement(case, "failure", type=kind, message=_clean(sentence)).text = _clean(sentence)
    skipped = "new: compares with nothing" if row in found.new else next((event.sentence for event in found.events if event.cell == part.id and event.kind == "not run"), None)
    if skipped is not None:
        SubElement(case, "skipped", message=_clean(skipped))


def _failures(cell: str, found: Comparison) -> Iterator[tuple[str, str]]:
    """One failure for all that is worse in the cell: viewers show the first of several only."""
    happened = [event for event in found.regressions if event.cell == cell]
    told = [f"{event.kind}: {event.sentence}" for event in happened]
    told += [change.sentence for change in found.worse if cell in change.cells]
    if told:
        yield happened[0].kind if happened else "regression", "; ".join(told)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", printable(text))
