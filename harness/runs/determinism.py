"""`deterministic: true`: the same numbers, to the last bit, from every run of a cell on one machine."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping

# cuBLAS sums in one order only with a workspace of a fixed size; read when its first handle is made, so set before CUDA starts.
CUBLAS_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
FLASH_ATTENTION = ("FLASH_ATTENTION_DETERMINISTIC", "1")

_REFUSED = re.compile(r"(\S+) does not have a deterministic implementation, but you set")


def make_deterministic(seed: int, environ: MutableMapping[str, str] = os.environ) -> str:
    """Seeds all generators of this process, has torch choose deterministic algorithms, and returns what the record's notes say of it.

    An operation that has none raises then (`refused_operation`), rather than making numbers that do not repeat. To be called before
    CUDA is used. Source: torch's notes on reproducibility; transformers.enable_full_determinism does the same, but
    also has every CUDA launch waited for, which would be measured.
    """
    import torch
    from transformers import set_seed

    environ.update([CUBLAS_WORKSPACE, FLASH_ATTENTION])
    set_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return f"deterministic: torch's deterministic algorithms on {torch.get_num_threads()} threads; another number of threads may round otherwise"


def refused_operation(error: BaseException) -> str | None:
    """What ended a cell because it has no deterministic form, as a sentence; None for any other error."""
    found = _REFUSED.search(str(error)) if isinstance(error, RuntimeError) else None
    if found is None:
        return None
    return f"deterministic: true, and torch has no deterministic form of {found[1]} on this device; leave `deterministic` out, or choose another method or scheme"
