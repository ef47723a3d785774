"""`md`: report.md and its plots, for GitHub, an editor or a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from unicodedata import east_asian_width

from harness.analysis.run import Run
from harness.analysis.table import Entry, Table
from harness.outside import printable
from harness.records.store import write_atomically
from harness.report.base import REPORTS, ReportFormat
from harness.report.document import Document, Plots, figures
from harness.report.figure import write_figures
from harness.report.templates import Rendered, environment

LONGEST_OPEN_TABLE = 40
IN_TEXT: tuple[Plots, ...] = ("pareto", "ranks")  # the others have a chart per cell
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$]|&(?=#?\w+;))")


@REPORTS.register("md")
class Markdown(ReportFormat):
    """report.md from report_templates/report.md.j2, plots as SVG files beside it."""

    def write_apart(self, run: Run, out: Path) -> list[Path]:
        """Writes plots/*.svg."""
        return write_figures([figure for plots in IN_TEXT for figure in figures(run, plots)], out, "svg")

    def write(self, document: Document, out: Path) -> list[Path]:
        """Writes report.md."""
        shown = {plots: document.figures(plots) for plots in IN_TEXT}
        template = environment(escape_markdown).get_template("report.md.j2")
        text = template.render(report=document, figures=shown, command=_fenced(document.command), table=markdown_table, folded=_is_long)
        write_atomically(out / "report.md", text)
        return [out / "report.md"]


def _fenced(text: str) -> Rendered:
    """The text as a block of code, with a fence longer than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Rendered(f"{fence}\n{printable(text)}\n{fence}")


def escape_markdown(text: str) -> str:
    """The text as Markdown shows it literally, on one line: in a paragraph and in a cell of a table alike."""
    line = " ".join(printable(text).split())
    return re.sub(r"^([-+=]|\d+[.)])(?=[ =-]|$)", r"\\\1", _SPECIAL.sub(r"\\\1", line))


def markdown_table(table: Table) -> Rendered:
    """The table with its columns aligned, and notes and footnotes below it."""
    body = [[_entry(entry) for entry in row] for row in table.rows]
    head = [escape_markdown(label) for label in table.header]
    widths = [max(3, *(_width(line[at]) for line in [head, *body])) for at in range(len(head))]
    right = [not column.names for column in table.columns]
    lines = [_line(head, widths, right), _rule(widths, right), *(_line(row, widths, right) for row in body)]
    below = [escape_markdown(note) for note in table.notes]
    below += [f"({escape_markdown(mark)}) {escape_markdown(meaning)}." for mark, meaning in table.footnotes.items()]
    return Rendered("\n".join(lines) + ("\n\n" + "\n".join(f"{note}  " for note in below).rstrip() if below else ""))


def _entry(entry: Entry) -> str:
    text = escape_markdown(entry.text)
    if entry.best:
        text = f"**{text}**"
    return text + "".join(f" ({escape_markdown(mark)})" for mark in entry.marks)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        " " * (width - _width(cell)) + cell if to_right else cell + " " * (width - _width(cell))
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


def _rule(widths: Sequence[int], right: Sequence[bool]) -> str:
    return f"|{'|'.join('-' * (width + 1) + (':' if to_right else '-') for width, to_right in zip(widths, right, strict=True))}|"


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _is_long(table: Table) -> bool:
    return len(table.rows) > LONGEST_OPEN_TABLE
