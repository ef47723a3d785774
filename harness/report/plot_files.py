"""`plots`: every figure of the report as plots/<name>.svg and plots/<name>.png, for slides and papers."""

from __future__ import annotations

from pathlib import Path

from harness.records.store import write_atomically
from harness.report.base import REPORTS, ReportFormat
from harness.report.document import FIGURES, Document


@REPORTS.register("plots")
class PlotFiles(ReportFormat):
    """Pareto plots, rank maps, learning curves and memory over time, as vector graphics and as images."""

    def write(self, document: Document, out: Path) -> list[Path]:
        """Writes two files per figure."""
        paths = []
        for plots in FIGURES:
            for figure in document.figures(plots):
                for ending, content in (("svg", figure.svg), ("png", figure.png)):
                    paths.append(out / "plots" / f"{figure.name}.{ending}")
                    write_atomically(paths[-1], content)
        return paths
