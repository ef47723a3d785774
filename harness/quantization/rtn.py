"""Round-to-nearest: the papers' baseline. No calibration; stored and computed as GPTQ's weights are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from harness.fields import identity
from harness.quantization.base import SCHEMES
from harness.quantization.packed import Packed
from harness.quantization.packed_kernels import GPTQ_KERNELS, GptqKernel, Kernel

GroupSize = Literal[-1, 16, 32, 64, 128, 256, 512, 1024]


class GptqFormat(Packed):
    """Weights in the checkpoint format `gptq`, however their integers were found."""

    group_size: GroupSize = identity(128, description="weights of a row that share a scale and a zero point; -1: the whole row")
    sym: bool = identity(True, description="a grid symmetric around zero; otherwise from the group's smallest to its largest weight")
    kernel: GptqKernel = identity(
        "auto", description="gptqmodel's kernel; auto: one that trains where a method tunes, the fastest elsewhere, torch on a CPU"
    )

    kernels: ClassVar[Mapping[str, Kernel]] = GPTQ_KERNELS
    plain_kernel: ClassVar[str] = "torch"
    features_multiple_of: ClassVar[tuple[int, int]] = (32, 32)

    @property
    def packing_backend(self) -> str:
        """See Packed.packing_backend."""
        return "gptq_torch"

    def loading_config(self, backend: str) -> Any:
        """transformers' GPTQConfig; of its values the loader takes the kernel alone."""
        from transformers import GPTQConfig

        return GPTQConfig(bits=self.bits, backend=backend)


@SCHEMES.register("rtn-2bit", "rtn-3bit", "rtn-4bit", "rtn-8bit")
class RoundToNearest(GptqFormat):
    """Every weight to the nearest point of its group's grid. Source: the baseline of GPTQ (arXiv 2210.17323) and AWQ (arXiv 2306.00978)."""

    def packing_config(self) -> Any:
        """gptqmodel's RTNConfig."""
        from gptqmodel.quantization.config import RTNConfig

        return RTNConfig(bits=self.bits, group_size=self.group_size, sym=self.sym, desc_act=False, offload_to_disk=False)
