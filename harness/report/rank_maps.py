"""Rank allocations as heat maps: layer by matrix, every rank written into its field."""

from __future__ import annotations

from functools import partial
from typing import Any

from harness.analysis.ranks import RankMap, rank_maps
from harness.analysis.run import Run
from harness.analysis.tables import slug
from harness.report.figure import Figure

FIELD = (0.62, 0.3)  # inches
CAPTION = "Rank that each matrix was left with after training; layers count from the input."


def rank_figures(run: Run) -> list[Figure]:
    """One heat map for every configuration that tells its ranks."""
    return [
        Figure(
            slug(f"ranks-{shown.name}"), f"{shown.name}: ranks after training",
            CAPTION + (f" Means over {shown.seeds} seeds." if shown.seeds > 1 else ""), partial(_draw, shown),
        )
        for shown in rank_maps(run.rows, run.order)
    ]  # fmt: skip


def _draw(shown: RankMap) -> Any:
    from matplotlib.figure import Figure as Canvas

    values = [[shown.ranks.get((layer, matrix), float("nan")) for matrix in shown.matrices] for layer in shown.layers]
    left, below = 0.35 + 0.075 * max(map(len, shown.layers)), 0.25 + 0.042 * max(map(len, shown.matrices))
    width = left + FIELD[0] * len(shown.matrices) + 0.9
    height = below + FIELD[1] * len(shown.layers) + 0.15
    canvas = Canvas(figsize=(width, height), facecolor="white")
    canvas.subplots_adjust(left / width, below / height, 1 - 0.9 / width, 1 - 0.15 / height)
    axes = canvas.add_subplot()
    axes.grid(False)
    mesh = axes.pcolormesh(values, cmap="Blues", vmin=0, edgecolors="white", linewidth=1)
    axes.set_xticks([at + 0.5 for at in range(len(shown.matrices))], list(shown.matrices), rotation=30, ha="right")
    axes.set_yticks([at + 0.5 for at in range(len(shown.layers))], list(shown.layers))
    axes.set_ylabel("layer")
    darkest = max(shown.ranks.values())
    for at, layer in enumerate(shown.layers):
        for beside, matrix in enumerate(shown.matrices):
            rank = shown.ranks.get((layer, matrix))
            if rank is not None:
                colour = "white" if rank > 0.6 * darkest else "#1c1e21"
                axes.text(beside + 0.5, at + 0.5, f"{rank:.3g}", ha="center", va="center", color=colour)
    canvas.colorbar(mesh, ax=axes, label="rank", fraction=0.15, pad=0.03)
    return canvas
