"""How much the telemetry sampler slows the measured process: training steps with and without it, as a ratio.

    python benchmarks/telemetry_overhead.py [--pairs 15] [--seconds 2] [--period-ms 10] [--device cpu]

Runs blocks of steps in pairs, one with the sampler and one without, in alternating order, and prints the median of
the pairs' ratios of median step times with its quartiles, and the sampler's own CPU time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from harness.measure.clock import StepClock
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
    for index in range(count):
        without = median_step_ms(step, device, seconds) if index % 2 else 0.0
        with sampled(period_ms, device) as sampler:
            before = sampler.cpu_times()
            watched = median_step_ms(step, device, seconds)
            after = sampler.cpu_times()
        used = after.user + after.system - before.user - before.system
        yield watched / (without or median_step_ms(step, device, seconds)), used / seconds


def main() -> None:
    """The command line of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--period-ms", type=float, default=10.0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    ratios, shares = zip(*pairs(given.pairs, given.seconds, given.period_ms, given.device), strict=True)
    lower, median, upper = statistics.quantiles(ratios, n=4)
    print(f"{given.device}, {given.pairs} pairs of {given.seconds:g} s, a sample every {given.period_ms:g} ms:")
    print(f"step time with / without the sampler: {median:.4f} (quartiles {lower:.4f} to {upper:.4f})")
    print(f"CPU time of the sampler: {100 * statistics.median(shares):.2f} % of one core")


if __name__ == "__main__":
    main()
