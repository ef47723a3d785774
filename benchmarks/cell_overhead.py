"""What a cell's own process costs: a trivial cell through `harness run`'s machinery against the same work inline.

    python benchmarks/cell_overhead.py [--pairs 15] [--json]

Inline means: the phases called in a process that has imported everything already. Through the executor means: fork,
sampler, events, telemetry summary and the record on disk. The two are measured in turn, so that a slow moment of the
machine meets both; what is said is the median of the pairs' differences. The start of the fork server, once per run,
is left out and told apart.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

from harness.measure.environment import environment, machine
from harness.records.store import RecordStore
from harness.runs import forkserver
from harness.runs.executors.local import LocalExecutor
from harness.runs.run import Recorder
from harness.runs.stop import Stop
from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

SUITE = """
name: cell_overhead
models: [{id: micro, source: "micro:encoder"}]
quantization: [none]
methods: [none]
tasks: [{id: rte, task: glue/rte, data: micro, max_eval_samples: 1}]
"""


class Nobody:
    """A display for nobody."""

    def begin(self, *arguments: object) -> None:
        """Nothing is shown."""

    cell_started = cell_event = cell_recorded = cell_again = note = begin


def trivial_cell(folder: Path) -> Cell:
    """One evaluation of one row with the smallest model there is."""
    (folder / "suite.yaml").write_text(SUITE)
    return make_plan(load_suite(folder / "suite.yaml"), machine("cpu")).cells[0]


def inline_seconds(cell: Cell, folder: Path) -> float:
    """The phases alone."""
    from harness.runs.cell import run_cell

    begun = time.perf_counter()
    run_cell(cell, folder, "cpu", lambda event: None, folder / "shared")
    return time.perf_counter() - begun


def isolated_seconds(cell: Cell, run: Path) -> float:
    """A run of that one cell, from its start to its record on disk."""
    where = environment("cpu")
    recorder = Recorder(run, RecordStore(run), where, Nobody(), jobs=1, selected=1)
    begun = time.perf_counter()
    recorder.go_on([cell], True, LocalExecutor(), Stop())
    seconds = time.perf_counter() - begun
    assert recorder.summary.statuses["ok"] == 1, f"the cell failed; see {run}"
    return seconds


def measure(pairs: int) -> dict[str, float]:
    """Medians in seconds: inline, isolated, and of the differences within the pairs; and the server's start."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cell = trivial_cell(folder)
        begun = time.perf_counter()
        forkserver.start(Stop())
        start = time.perf_counter() - begun
        inline_seconds(cell, folder)  # imports
        isolated_seconds(cell, folder)
        timed = [(inline_seconds(cell, folder), isolated_seconds(cell, folder)) for _ in range(pairs)]
    return {
        "inline": median(one for one, _ in timed),
        "isolated": median(other for _, other in timed),
        "extra": median(other - one for one, other in timed),
        "server_start": start,
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.pairs)
    if given.json:
        print(json.dumps(found))
        return
    print(f"inline {found['inline']:.3f} s, isolated {found['isolated']:.3f} s: extra {found['extra']:.3f} s a cell (target 0.5 s)")
    print(f"the fork server's start, once per run: {found['server_start']:.1f} s")


if __name__ == "__main__":
    main()
