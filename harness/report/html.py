"""`html`: report.html, one page that needs nothing beside it: no scripts, no fonts, plots inside."""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import Markup

from harness.records.store import write_atomically
from harness.report.base import REPORTS, ReportFormat
from harness.report.document import Document
from harness.report.templates import environment


@REPORTS.register("html")
class Html(ReportFormat):
    """report.html from report_templates/report.html.j2: what report.md says, light or dark as the reader's system is."""

    def write(self, document: Document, out: Path) -> list[Path]:
        """Writes report.html."""
        path = out / "report.html"
        plots = [(figure, inline_svg(figure.svg, figure.name)) for figure in document.figures]
        write_atomically(path, environment(None).get_template("report.html.j2").render(report=document, plots=plots))
        return [path]


def inline_svg(svg: str, prefix: str) -> Markup:
    """The SVG without XML declaration and doctype, its ids prefixed, so that several can stand in one page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'(\bid="|href="#|url\(#)', lambda found: f"{found[1]}{prefix}-", body)
    return Markup(body)
