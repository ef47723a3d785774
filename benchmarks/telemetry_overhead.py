"""How much the telemetry sampler slows the measured process: training steps with and without it, as a ratio.

    python benchmarks/telemetry_overhead.py [--pairs 150] [--seconds 0.2] [--period-ms 10] [--device cpu] [--json FILE]

Runs short blocks of steps in pairs, one beside a sampler at work and one beside the same sampler stopped (SIGSTOP),
in alternating order, and prints the median of the pairs' ratios of median step times with its 95 % interval, and the
sampler's own CPU time; --json writes them to a file, too, with the date and the machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import torch

from harness.measure.clock import StepClock
from harness.measure.environment import environment
from harness.measure.sampler import sample

WIDTH, LAYERS, BATCH = 256, 4, 64


def training_step(device: str) -> Callable[[], None]:
    """One optimizer step of a small stack of linear layers: a few milliseconds on one CPU core."""
    layers = [torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.GELU()) for _ in range(LAYERS)]
    model = torch.nn.Sequential(*layers).to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    inputs = torch.randn(BATCH, WIDTH, device=device)

    def step() -> None:
        model(inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def median_step_ms(step: Callable[[], None], device: str, seconds: float) -> float:
    """The median time of a step in a block of that many seconds."""
    clock = StepClock(device, warmup_steps=0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        clock.start()
        step()
        clock.stop()
    return statistics.median(clock.step_ms())


@contextmanager
def sampled(period_ms: float, device: str) -> Iterator[psutil.Process]:
    """The sampler, looking at this process; forked from a server that has imported it, as for a cell."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["harness.measure.sampler", "pyarrow.parquet"])
    told_to_stop, stop = processes.Pipe(duplex=False)
    is_ready, ready = processes.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "telemetry.parquet")
        process = processes.Process(target=sample, args=(os.getpid(), path, period_ms, told_to_stop, device, ready))
        process.start()
        is_ready.recv()
        yield psutil.Process(process.pid)
        stop.close()
        process.join()
        assert path.exists(), "the sampler failed"


def pairs(count: int, seconds: float, period_ms: float, device: str) -> Iterator[tuple[float, float]]:
    """Of every pair of blocks the ratio with/without, and the share of one core that the sampler used."""
    step = training_step(device)
    median_step_ms(step, device, seconds)
    with sampled(period_ms, device) as sampler:
        for index in range(count):
            step_ms = {}
            for watched in (True, False) if index % 2 else (False, True):
                sampler.resume() if watched else sampler.suspend()
                before = sampler.cpu_times()
                step_ms[watched] = median_step_ms(step, device, seconds)
                after = sampler.cpu_times()
                if watched:
                    used = after.user + after.system - before.user - before.system
            yield step_ms[True] / step_ms[False], used / seconds
        sampler.resume()


def interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """The distribution-free 95 % interval: the innermost pair of order statistics that holds the median with that probability, exactly
    (binomial); of fewer than six values, which have none, the smallest and the largest."""
    from scipy.stats import binom

    ordered = sorted(values)
    lower = max(int(binom.ppf(0.025, len(ordered), 0.5)) - 1, 0)
    return ordered[lower], ordered[len(ordered) - 1 - lower]


def main() -> None:
    """The command line of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--period-ms", type=float, default=10.0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ratios, shares = zip(*pairs(given.pairs, given.seconds, given.period_ms, given.device), strict=True)
    lower, upper = interval_of_median(ratios)
    print(f"{given.device}, {given.pairs} pairs of {given.seconds:g} s, a sample every {given.period_ms:g} ms:")
    print(f"step time with / without the sampler: {statistics.median(ratios):.4f} (95 %: {lower:.4f} to {upper:.4f})")
    print(f"CPU time of the sampler: {100 * statistics.mean(shares):.2f} % of one core")
    if given.json is not None:
        found = {
            "measured": datetime.now(UTC).isoformat(timespec="seconds"), "pairs": given.pairs, "seconds": given.seconds, "period_ms": given.period_ms,
            "ratio": statistics.median(ratios), "lower": lower, "upper": upper, "sampler_share": statistics.mean(shares),
            "environment": environment(given.device).model_dump(mode="json"),
        }  # fmt: skip
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
