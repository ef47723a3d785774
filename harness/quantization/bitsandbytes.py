"""bitsandbytes: LLM.int8() (Dettmers et al. 2022) and the 4-bit data types of QLoRA (Dettmers et al. 2023).

Weights are quantized while they are loaded, without calibration. Runs on CUDA and on CPU, training included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.fields import identity
from harness.models.sizes import numel, stored_bytes
from harness.needs import Needs
from harness.quantization.base import SCHEMES, QuantizedLayer, QuantizingScheme

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ComputeDtype = Literal["auto", "float32", "bfloat16", "float16"]


class BitsAndBytes(QuantizingScheme):
    """What 8 and 4 bit have in common."""

    skip_modules: list[str] | None = identity(
        None, description="modules kept unquantized, by name; null: the task head and the output embeddings"
    )

    needs: ClassVar[Needs] = Needs(packages=("bitsandbytes",))

    def quantized_layers(self, model: Any) -> Iterator[QuantizedLayer]:
        """bitsandbytes' linear layers; the constants hang on the weight."""
        import bitsandbytes

        for name, module in model.named_modules():
            if isinstance(module, bitsandbytes.nn.Linear4bit | bitsandbytes.nn.Linear8bitLt):
                yield QuantizedLayer(name, numel(module.weight), stored_bytes(module.weight), type(module).__name__)

    def dequantized(self, model: PreTrainedModel) -> PreTrainedModel:
        """transformers' own dequantization of its bitsandbytes models."""
        return model.dequantize()


@SCHEMES.register("bnb-int8")
class Int8(BitsAndBytes):
    """LLM.int8(): vector-wise int8, outlier feature dimensions in 16 bit. Source: arXiv 2208.07339, sec. 3."""

    rounds_activations: ClassVar[bool] = True

    threshold: float = identity(6.0, ge=0, description="activations beyond this are outliers, computed in 16 bit; 0: no decomposition")
    has_fp16_weight: bool = identity(False, description="keep 16-bit main weights beside the int8 ones")

    def quantization_config(self, dtype: torch.dtype, head: list[str]) -> Any:
        """transformers' BitsAndBytesConfig for 8 bit."""
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_8bit=True,
            llm_int8_threshold=self.threshold,
            llm_int8_has_fp16_weight=self.has_fp16_weight,
            llm_int8_skip_modules=head if self.skip_modules is None else self.skip_modules,
        )


class FourBit(BitsAndBytes):
    """Blockwise 4-bit weights (64 weights share a constant), dequantized to `compute_dtype` for every product."""

    data_type: ClassVar[str]

    compute_dtype: ComputeDtype = identity("auto", description="dtype of the matrix products; auto: the model entry's dtype")
    double_quant: bool = identity(False, description="quantize the constants too: 0.127 instead of 0.5 bit per weight")
    quant_storage: Literal["uint8", "bfloat16", "float16", "float32"] = identity("uint8", description="dtype that the packed weights are stored as")

    def quantization_config(self, dtype: torch.dtype, head: list[str]) -> Any:
        """transformers' BitsAndBytesConfig for 4 bit."""
        import torch
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.data_type,
            bnb_4bit_compute_dtype=dtype if self.compute_dtype == "auto" else getattr(torch, self.compute_dtype),
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_quant_storage=self.quant_storage,
            llm_int8_skip_modules=head if self.skip_modules is None else self.skip_modules,
        )

    def settle(self, model: PreTrainedModel) -> None:
        """Keeps bitsandbytes from repacking weights for a CPU's bfloat16 instructions at the first evaluation.

        The repacked layer has no backward pass: evaluated once, it would pass no gradient on in training, unnoticed.
        """
        import bitsandbytes

        for module in model.modules():
            if isinstance(module, bitsandbytes.nn.Linear4bit):
                module.support_avx512bf16_for_cpu = False


@SCHEMES.register("bnb-nf4")
class Nf4(FourBit):
    """4-bit NormalFloat: quantiles of a normal distribution. Source: arXiv 2305.14314, sec. 3."""

    data_type: ClassVar[str] = "nf4"


@SCHEMES.register("bnb-nf4-dq")
class Nf4DoubleQuantized(Nf4):
    """NF4 with double quantization, QLoRA's own setting: `bnb-nf4` with double_quant on."""

    double_quant: bool = identity(True, description="quantize the constants too: 0.127 instead of 0.5 bit per weight")


@SCHEMES.register("bnb-fp4")
class Fp4(FourBit):
    """4-bit floating point (e2m1). Source: arXiv 2305.14314, table 2."""

    data_type: ClassVar[str] = "fp4"
