"""How long `harness plan` takes for 2,000 cells, as a ratio to starting Python with the libraries that it needs anyway.

    python benchmarks/plan_speed.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAIRS = 7
IMPORTS = "import pydantic, rich.console, typer, yaml"
SUITE = """
name: large
models: [random:llama-7b, random:opt-1.3b, random:roberta-large, hub:a/b, hub:a/c]
quantization: [none, bnb-int8, bnb-nf4, bnb-nf4-dq, bnb-fp4]
methods: [none, full, {id: lora-r4, method: lora, r: 4}, {id: lora-r8, method: lora, train: {learning_rate: 1e-3}}]
tasks: [glue/rte, glue/mrpc, wikitext2, mmlu]
seeds: [0, 1, 2, 3, 4]
"""


def seconds(command: list[str]) -> float:
    """Wall time of one process; raises CalledProcessError."""
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Prints the medians and the median of the pairs' ratios."""
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "large.yaml"
        suite.write_text(SUITE)
        plan = [sys.executable, "-m", "harness", "plan", str(suite), "--device", "cpu"]
        seconds(plan)  # sizes the models, which the cache keeps
        pairs = [(seconds(plan), seconds([sys.executable, "-c", IMPORTS])) for _ in range(PAIRS)]
    planned, imported = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratio = statistics.median(plan / start for plan, start in pairs)
    print(f"plan of 2,000 cells {planned:.2f} s, imports alone {imported:.2f} s: {ratio:.2f} times as long (median of {PAIRS} pairs)")


if __name__ == "__main__":
    main()
