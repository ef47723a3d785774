"""Draws models of `random:<shape>` into the harness' cache before the cells that need them: on a GPU seconds instead of minutes.

    python benchmarks/draw_models.py --device cuda random:llama-7b=bfloat16 ...

Prints each as it is there. Drawn on a GPU, the weights have other values than a CPU's generator gives, and the same sizes; what is measured with them does not
depend on their values.
"""

from __future__ import annotations

import argparse
import shutil

import torch

from harness.models.base import ModelConfig
from harness.models.random_weights import materialise
from harness.models.skeletons import anatomies
from harness.models.source import cache_folder
from harness.tasks.base import Head

ROOM = 1.1  # of the weights' bytes, for the file and what is beside it


def weight_bytes(config: ModelConfig) -> int:
    """Bytes of the weights on disk, counted without drawing them."""
    anatomy = anatomies([(config, Head("causal-lm"))], cache_folder())[0]
    if anatomy is None or isinstance(anatomy, str):
        return 0
    return anatomy.total * torch.finfo(getattr(torch, config.dtype)).bits // 8


def main() -> None:
    """The command line of the module's docstring. Exit code 1 where a model did not fit on the disk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("models", nargs="*", help="source=dtype")
    given = parser.parse_args()
    torch.set_default_device(given.device)
    skipped = []
    for text in given.models:
        source, _, dtype = text.partition("=")
        config = ModelConfig(source=source, dtype=dtype)
        cache_folder().mkdir(parents=True, exist_ok=True)
        needed, free = int(ROOM * weight_bytes(config)), shutil.disk_usage(cache_folder()).free
        if needed > free:
            skipped.append(f"{source} takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
            continue
        materialise(source.removeprefix("random:"), config, cache_folder())
        print(text, flush=True)
        if given.device == "cuda":
            torch.cuda.empty_cache()
    if skipped:
        raise SystemExit("; ".join(skipped))


if __name__ == "__main__":
    main()
