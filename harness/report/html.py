"""`html`: report.html, one page that needs nothing beside it: no scripts, no fonts, plots inside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from harness.records.store import write_atomically
from harness.report.base import REPORTS, ReportFormat
from harness.report.document import Document
from harness.report.plots import Figure
from harness.report.templates import environment


@REPORTS.register("html")
class Html(ReportFormat):
    """report.html from report_templates/report.html.j2: what report.md says, light or dark as the reader's system is."""

    def write(self, document: Document, out: Path) -> list[Path]:
        """Writes report.html."""
        path = out / "report.html"
        template = environment(None).get_template("report.html.j2")
        write_atomically(path, template.render(report=document, plots=_inlined(document.figures), ranks=_inlined(document.rank_figures)))
        return [path]


def _inlined(figures: Sequence[Figure]) -> list[tuple[Figure, Markup]]:
    return [(figure, inline_svg(figure.svg, figure.name)) for figure in figures]


def inline_svg(svg: str, prefix: str) -> Markup:
    """The SVG without XML declaration and doctype, its ids prefixed, so that several can stand in one page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'(\bid="|href="#|url\(#)', lambda found: f"{found[1]}{prefix}-", body)
    return Markup(body)
