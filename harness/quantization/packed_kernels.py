"""gptqmodel's kernels: which can compute which stored weights, where they run, and which pass gradients on.

A table, because the plan imports no torch; a test holds it against the library's classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

GptqKernel = Literal["auto", "trainable", "fastest", "torch", "triton", "exllama_v2", "marlin", "machete"]
AwqKernel = Literal["auto", "trainable", "fastest", "torch_awq", "gemm", "gemm_triton", "exllama_v2", "marlin", "machete"]

#: Kernels that are left to gptqmodel, with the name that it has for them.
CHOSEN_BY_THE_LIBRARY: Mapping[str, str] = {"trainable": "auto_trainable", "fastest": "auto"}

_GROUPS = (-1, 16, 32, 64, 128, 256, 512, 1024)
_FEW_GROUPS = (-1, 32, 64, 128)
_AWQ_GROUPS = (-1, 16, 32, 64, 128)


@dataclass(frozen=True)
class Kernel:
    """One kernel: what it computes. trains: whether gradients pass through it. cuda: whether it needs a CUDA device. sym: for symmetric weights only."""

    bits: tuple[int, ...]
    group_sizes: tuple[int, ...]
    trains: bool
    cuda: bool = True
    sym: bool = False

    def lacks(self, bits: int, group_size: int, sym: bool) -> str | None:
        """What it cannot compute of these, or None."""
        if bits not in self.bits:
            return f"{bits} bits; it has {_listed(self.bits)}"
        if group_size not in self.group_sizes:
            return f"group_size: {group_size}; it has {_listed(self.group_sizes)}"
        return "sym: false; it computes symmetric weights only" if self.sym and not sym else None


GPTQ_KERNELS: Mapping[str, Kernel] = {
    "torch": Kernel((2, 3, 4, 8), _GROUPS, trains=True, cuda=False),
    "triton": Kernel((2, 4, 8), _GROUPS, trains=True),
    "exllama_v2": Kernel((4,), _FEW_GROUPS, trains=False),
    "marlin": Kernel((4, 8), _FEW_GROUPS, trains=False, sym=True),
    "machete": Kernel((4, 8), (-1, 64, 128), trains=False),
}
AWQ_KERNELS: Mapping[str, Kernel] = {
    "torch_awq": Kernel((2, 3, 4, 8), _AWQ_GROUPS, trains=True, cuda=False),
    "gemm": Kernel((4,), _AWQ_GROUPS, trains=True),
    "gemm_triton": Kernel((4,), _FEW_GROUPS, trains=True),
    "exllama_v2": Kernel((4,), _FEW_GROUPS, trains=False),
    "marlin": Kernel((4, 8), _FEW_GROUPS, trains=False),
    "machete": Kernel((4, 8), _FEW_GROUPS, trains=False),
}


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))
