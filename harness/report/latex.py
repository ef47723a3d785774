r"""`latex`: tables/<name>.tex, one booktabs table each, to \input into a paper (\usepackage{booktabs})."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.over_time_tables import BARS
from harness.analysis.table import Entry, Table
from harness.outside import printable
from harness.records.store import write_atomically
from harness.report.base import REPORTS, ReportFormat
from harness.report.document import Document
from harness.report.templates import Rendered, environment

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "–": "--", "−": "$-$", "…": r"\ldots{}", "Δ": r"$\Delta$", "†": r"\dag{}", "‡": r"\ddag{}", "·": r"$\cdot$", "≈": r"$\approx$", "≥": r"$\geq$", "≤": r"$\leq$",
    "×": r"$\times$", "→": r"$\rightarrow$", "§": r"\S{}", **{bar: rf"\rule{{0.4em}}{{{at / 4:g}ex}}" for at, bar in enumerate(BARS, 1)},
}  # fmt: skip


@REPORTS.register("latex")
class Latex(ReportFormat):
    """Every table but those of the appendix; from report_templates/table.tex.j2."""

    own_files = "tables/*.tex"

    def write(self, document: Document, out: Path) -> list[Path]:
        """Writes one file per table."""
        template = environment(escape_latex).get_template("table.tex.j2")
        shown = [table for section in document.sections if not section.appendix for table in section.tables]
        paths = []
        for table in shown:
            paths.append(out / "tables" / f"{table.name}.tex")
            write_atomically(paths[-1], template.render(table=table, alignment=_alignment(table), entry=latex_entry))
        return paths


def escape_latex(text: str) -> str:
    """The text as LaTeX prints it literally, on one line."""
    return "".join(_SPECIAL.get(character, character) for character in " ".join(printable(text).split()))


def latex_entry(entry: Entry) -> Rendered:
    """An entry: bold where best, marks raised."""
    text = escape_latex(entry.text)
    text = rf"\textbf{{{text}}}" if entry.best else text
    return Rendered(text + "".join(rf"\textsuperscript{{{escape_latex(mark)}}}" for mark in entry.marks))


def _alignment(table: Table) -> str:
    return "".join("l" if column.names else "r" for column in table.columns)
