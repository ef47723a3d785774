"""The command that rebuilds everything in this folder: `python -m harness.micro.build [--only PART] [--out DIR]`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from harness.micro import FOLDER, MODELS
from harness.micro.datasets import write
from harness.micro.world import make_world

PARTS = ("data", *MODELS)


def build(parts: Sequence[str], out: Path, steps: int | None = None, threads: int = 2) -> None:
    """Writes data/ and models/ below `out`. steps: optimizer steps per model, where not the recipe's own. threads: of torch."""
    if "data" in parts:
        write(out / "data")
        print(f"data: {out / 'data'}")
    if wanted := [name for name in MODELS if name in parts]:
        import torch

        from harness.micro.pretrain import make

        torch.set_num_threads(threads)
        for name in wanted:
            started = time.monotonic()
            make(name, make_world(), out / "models" / name, lambda line, name=name: print(f"{name}: {line}", flush=True), steps)  # type: ignore[misc]
            print(f"{name}: {out / 'models' / name} in {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    """Parses the command line and builds."""
    parser = argparse.ArgumentParser(prog="python -m harness.micro.build", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part to build (repeatable); default: all")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for data/ and models/; default: the package's own")
    parser.add_argument("--steps", type=int, help="optimizer steps per model, to try the command")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; weights differ in their last bits with it")
    arguments = parser.parse_args()
    build(arguments.only or PARTS, arguments.out, arguments.steps, arguments.threads)


if __name__ == "__main__":
    main()
