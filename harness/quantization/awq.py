"""AWQ (Lin et al. 2023, arXiv 2306.00978) through gptqmodel, in the GEMM format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.fields import identity
from harness.quantization.base import SCHEMES, CalibratedScheme
from harness.quantization.gptqmodel_library import NOT_LOADED_BACK
from harness.quantization.job import QuantizationJob
from harness.quantization.packed import Packed
from harness.quantization.packed_kernels import AWQ_KERNELS, AwqKernel, Kernel

if TYPE_CHECKING:
    import torch

GroupSize = Literal[-1, 16, 32, 64, 128]
_SCALED = "transformers looks for scales of their activation function, which gptqmodel does not store"
#: Model types with such scales, as transformers lists them.
SCALED_ACTIVATIONS = ("RefinedWebModel", "bloom", "falcon", "gpt_bigcode", "gpt_neox", "gptj", "mpt", "starcoder2")


@SCHEMES.register("awq-4bit")
class Awq(Packed, CalibratedScheme):
    """Input channels with large activations are scaled up before rounding, and their activations down, so that they lose less.

    The scales are searched on calibration texts, and folded into the layer before. Source: arXiv 2306.00978, sec. 3.2.
    """

    group_size: GroupSize = identity(128, description="weights of a row that share a scale and a zero point; -1: the whole row")
    sym: bool = identity(False, description="a grid symmetric around zero; the paper's has a zero point")
    kernel: AwqKernel = identity(
        "auto", description="gptqmodel's kernel; auto: one that trains where a method tunes, the fastest elsewhere, torch_awq on a CPU"
    )

    kernels: ClassVar[Mapping[str, Kernel]] = AWQ_KERNELS
    plain_kernel: ClassVar[str] = "torch_awq"
    features_multiple_of: ClassVar[tuple[int, int]] = (1, 64)
    not_loaded_back: ClassVar[Mapping[str, str]] = dict.fromkeys(SCALED_ACTIVATIONS, _SCALED) | dict(NOT_LOADED_BACK)

    def quantize(self, job: QuantizationJob) -> None:
        """Writes gptqmodel's checkpoint, with a note where the model had to be rounded to 16 bit first."""
        dtype = self.packing_dtype(job.dtype)
        if dtype != job.dtype:
            job.notes.append(f"{self.scheme}: gptqmodel packs AWQ weights of 16-bit models, so all weights were rounded to {dtype} first")
        super().quantize(job)

    def packing_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """The model's dtype where it has 16 bit; float16 elsewhere, because gptqmodel packs no other AWQ weights."""
        import torch

        return dtype if dtype in (torch.float16, torch.bfloat16) else torch.float16

    @property
    def packing_backend(self) -> str:
        """The kernel that packs on any device."""
        return "awq_torch"

    def packing_config(self) -> Any:
        """gptqmodel's AWQConfig."""
        from gptqmodel.quantization.config import AWQConfig

        return AWQConfig(bits=self.bits, group_size=self.group_size, sym=self.sym, desc_act=False, offload_to_disk=False)

    def loading_config(self, backend: str) -> Any:
        """transformers' AwqConfig; of its values the loader takes the kernel alone."""
        from transformers import AwqConfig

        return AwqConfig(bits=self.bits, group_size=self.group_size, zero_point=not self.sym, backend=backend)
