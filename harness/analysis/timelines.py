"""How memory went over the life of a cell, phase by phase, from its telemetry.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.analysis.columns import Row
from harness.analysis.groups import AxisOrder, axes_of, group_by
from harness.analysis.lines import Band, Line, LineChart
from harness.analysis.tables import slug

MOST_CHARTS = 24
MOST_POINTS = 300
MEMORIES = {
    "nvml_process": "the process (NVML)",
    "nvml_device": "the device (NVML)",
    "torch_reserved": "torch, reserved",
    "torch_allocated": "torch, allocated",
    "host_rss": "host memory",
}
ON_A_GPU = tuple(name for name in MEMORIES if name != "host_rss")


def memory_timelines(rows: Sequence[Row], order: AxisOrder, run: Path) -> list[LineChart]:
    """A chart for the first cell of every configuration that left telemetry; at most 24, and the last one's caption says so.

    Of more samples than a chart can show, the largest of neighbours are kept: peaks stay.
    """
    axes = [axis for axis in axes_of(rows) if axis != "seed"]
    groups = [group[0] for group in group_by(order.sort(rows, [*axes, "seed"]), axes).values()]
    charts = []
    for row in groups:
        found = _chart(row, run / "cells" / row.record.cell.id / "telemetry.parquet")
        charts += [found] if found is not None else []
        if len(charts) == MOST_CHARTS:
            break
    return charts


def _chart(row: Row, path: Path) -> LineChart | None:
    """None where there is no telemetry, or none that can be read."""
    samples = _samples(path)
    if samples is None or len(samples) < 2:
        return None
    started = float(samples["at"].iloc[0])
    on_gpu = any(name in samples and samples[name].notna().any() for name in ON_A_GPU)
    shown = {name: words for name, words in MEMORIES.items() if name in samples and (not on_gpu or name in ON_A_GPU)}
    lines = []
    for name, words in shown.items():
        read = samples[["at", name]].dropna()
        if len(read):
            lines.append(Line(words, *_thinned((read["at"] - started).tolist(), read[name].tolist())))
    if not lines:
        return None
    words = row.name("seed")
    return LineChart(
        slug(f"memory-{row.record.cell.id}"), f"{words}: memory over time", "seconds", "bytes", tuple(lines),
        "One sample per telemetry period; shaded: the phases." + ("" if on_gpu else " Host memory: the cell's resident set."),
        tuple(_phases(samples, started)),
    )  # fmt: skip


def _samples(path: Path) -> Any | None:
    """The file as a pandas frame; None where it is absent or damaged, which the record's notes tell already."""
    if not path.exists():
        return None
    import pandas
    import pyarrow

    try:
        return pandas.read_parquet(path)
    except (OSError, ValueError, pyarrow.ArrowException):
        return None


def _thinned(xs: Sequence[float], ys: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most MOST_POINTS points: the largest of every so many neighbours."""
    every = -(-len(xs) // MOST_POINTS)
    largest = [max(range(at, min(at + every, len(xs))), key=lambda index: ys[index]) for at in range(0, len(xs), every)]
    return tuple(round(xs[at], 3) for at in largest), tuple(ys[at] for at in largest)


def _phases(samples: Any, started: float) -> list[Band]:
    if "phase" not in samples:
        return []
    bands = []
    moments = zip(samples["at"].tolist(), samples["phase"].tolist(), strict=True)
    for phase, group in groupby(moments, key=lambda moment: moment[1]):
        times = [at - started for at, _ in group]
        if isinstance(phase, str):
            bands.append(Band(phase, round(times[0], 3), round(times[-1], 3)))
    return bands
