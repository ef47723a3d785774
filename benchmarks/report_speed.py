"""How long `harness report` takes over 10,000 records, as a process of its own, and as a ratio to reading their JSON alone.

    python benchmarks/report_speed.py [--repeats 3] [--format md --format csv]

The records are those of 4 models x 10 schemes x 10 methods x 5 tasks x 5 seeds, two metrics each, with random values.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from record_factory import MIB, metric, record

AXES = (range(4), range(10), range(10), range(5), range(5))
READ = "import json, pathlib, sys; [json.loads(path.read_text()) for path in pathlib.Path(sys.argv[1], 'records').iterdir()]"


def write_records(run: Path) -> int:
    """Writes the records of a run directory; returns how many."""
    chance = random.Random(0)
    (run / "records").mkdir(parents=True)
    places = list(product(*AXES))
    for model, scheme, method, task, seed in places:
        values = [metric(value=chance.random(), stderr=0.02), metric(value=0.4, when="before", stderr=0.02)]
        found = record(
            model=f"m{model}", quantization=f"q{scheme}" if scheme else "none", method=f"x{method}", task=f"t{task}", seed=seed,
            peak=chance.randint(1, 10_000) * MIB, metrics=values,
        )  # fmt: skip
        (run / "records" / f"{found.cell.id}.json").write_text(found.model_dump_json(), encoding="utf-8")
    return len(places)


def seconds(command: list[str]) -> float:
    """Wall time of one process; raises CalledProcessError."""
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Prints the medians and the median of the pairs' ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--format", action="append", default=None)
    given = parser.parse_args()
    formats = given.format or ["md", "csv"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        count = write_records(run)
        report = [sys.executable, "-m", "harness", "report", str(run), "--out", str(Path(folder, "out"))]
        report += [word for name in formats for word in ("--format", name)]
        pairs = [(seconds(report), seconds([sys.executable, "-c", READ, str(run)])) for _ in range(given.repeats)]
    reported, read = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    print(f"harness report --format {' '.join(formats)} over {count:,} records {reported:.1f} s, their JSON alone {read:.1f} s: {ratio:.1f} times as long")


if __name__ == "__main__":
    main()
