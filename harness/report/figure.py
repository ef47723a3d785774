"""One plot on its way to a file: drawn when a format first asks for it. The same records give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.records.store import write_atomically

# Okabe and Ito's palette, which the common kinds of colour blindness can tell apart; black is kept for fronts.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
SETTINGS: dict[str, Any] = {  # the salt keeps the ids in the file, and so its bytes, the same
    "svg.hashsalt": "harness", "font.size": 9.0, "axes.grid": True, "grid.alpha": 0.25, "text.parse_math": False,
}  # fmt: skip
PNG_DOTS_PER_INCH = 160


@dataclass(frozen=True)
class Figure:
    """One plot. name: its file name without ending. draw: makes its canvas (matplotlib's Figure)."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Any]

    @property
    def svg(self) -> str:
        """The plot as SVG text."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        with _settings():
            canvas = self.draw()
            FigureCanvasSVG(canvas)
            text = io.StringIO()
            canvas.savefig(text, format="svg", metadata={"Date": None, "Creator": "harness"})
        return text.getvalue()

    @property
    def png(self) -> bytes:
        """The plot as a PNG image."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        with _settings():
            canvas = self.draw()
            FigureCanvasAgg(canvas)
            image = io.BytesIO()
            canvas.savefig(image, format="png", dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})
        return image.getvalue()


def write_figures(figures: Iterable[Figure], out: Path, *endings: Literal["svg", "png"]) -> list[Path]:
    """Writes plots/<name>.<ending> of every figure under `out` and returns the paths; raises StorageError."""
    paths = []
    for figure in figures:
        for ending in endings:
            paths.append(out / "plots" / f"{figure.name}.{ending}")
            write_atomically(paths[-1], figure.svg if ending == "svg" else figure.png)
    return paths


@contextmanager
def _settings() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(SETTINGS):
        yield
