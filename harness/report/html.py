"""`html`: report.html, one page that needs nothing beside it and asks nothing of the network: styles, charts and their script inside."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from harness.records.store import write_atomically
from harness.report.base import REPORTS, ReportFormat
from harness.report.charts import Chart, learning_charts, memory_charts, pareto_charts, rank_charts
from harness.report.document import Document, Plots
from harness.report.templates import environment, templates_folder


@REPORTS.register("html")
class Html(ReportFormat):
    """report.html from report_templates/report.html.j2: what report.md says, with tables to sort and filter and charts to hover over."""

    def write(self, document: Document, out: Path) -> list[Path]:
        """Writes report.html."""
        path = out / "report.html"
        run = document.run
        charts: dict[Plots, list[Chart]] = {
            "pareto": pareto_charts(run), "learning": learning_charts(run), "memory": memory_charts(run), "ranks": rank_charts(run)
        }  # fmt: skip
        text = environment(None).get_template("report.html.j2").render(
            report=document, charts=charts, css=_own("report.css"), script=_own("report.js"), plotly=_plotly() if any(charts.values()) else ""
        )
        write_atomically(path, text)
        return [path]


def _own(name: str) -> Markup:
    return Markup((templates_folder() / name).read_text(encoding="utf-8"))


def _plotly() -> Markup:
    """plotly.js as the plotly package ships it; read as a file, because importing the package takes longer than all else."""
    return Markup((files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"))
