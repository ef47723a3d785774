"""`plots`: every figure of the report as plots/<name>.svg and plots/<name>.png, for slides and papers."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.run import Run
from harness.report.base import REPORTS, ReportFormat
from harness.report.document import FIGURES, Document, figures
from harness.report.figure import write_figures


@REPORTS.register("plots")
class PlotFiles(ReportFormat):
    """Pareto plots, rank maps, learning curves and memory over time, as vector graphics and as images."""

    def write_apart(self, run: Run, out: Path) -> list[Path]:
        """Writes two files per figure."""
        return write_figures((figure for plots in FIGURES for figure in figures(run, plots)), out, "svg", "png")

    def write(self, document: Document, out: Path) -> list[Path]:
        """Nothing more."""
        return []
