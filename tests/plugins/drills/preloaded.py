"""What a process of the fork server finds, told by itself."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from typing import Any


def tell(pipe: Connection) -> None:
    """Sends what is imported, what is set, and whether arithmetic on several threads still works after the fork."""
    import numpy
    import torch

    from harness.runs import preload

    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    square = torch.ones(512, 512)
    facts: dict[str, Any] = {
        "modules": {name for name in ("torch", "transformers.trainer", "peft", "sklearn.metrics", "harness.runs.cell") if name in sys.modules},
        "main": getattr(sys.modules["__main__"], "__file__", None),
        "server": os.getppid() == preload.PRELOADED_IN,
        "tokenizers": os.environ["TOKENIZERS_PARALLELISM"],
        "cuda": torch.cuda.is_initialized(),
        "torch": float((square @ square).sum()),
        "numpy": float((numpy.ones((512, 512)) @ numpy.ones((512, 512))).sum()),
        "threads": threads,
    }
    pipe.send(facts)


def use_cuda(pipe: Connection) -> None:
    """Sends the result of arithmetic on the GPU and of a bitsandbytes kernel."""
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    from harness.runs import preload

    assert os.getppid() == preload.PRELOADED_IN
    weight = torch.ones(64, 64, device="cuda", dtype=torch.bfloat16)
    packed, state = quantize_4bit(weight, quant_type="nf4")
    pipe.send((float(weight.sum()), float(dequantize_4bit(packed, state).float().sum())))
