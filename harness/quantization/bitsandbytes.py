"""bitsandbytes: LLM.int8() (Dettmers et al. 2022) and the 4-bit data types of QLoRA (Dettmers et al. 2023).

Weights are quantized while they are loaded, without calibration. Runs on CUDA and on CPU, training included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.fields import identity
from harness.needs import Needs
from harness.quantization.base import SCHEMES
from harness.quantization.while_loading import WhileLoading

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ComputeDtype = Literal["auto", "float32", "bfloat16", "float16"]


class BitsAndBytes(WhileLoading):
    """What 8 and 4 bit have in common."""

    needs: ClassVar[Needs] = Needs(packages=("bitsandbytes",))

    def settle(self, model: PreTrainedModel) -> None:
        """Quantizes weights that the checkpoint lacks (BERT's pooler, where only the language model was saved).

        transformers draws them when the layers are bitsandbytes' already, and leaves them as plain floats there, of which
        the first product would make no sense.
        """
        import bitsandbytes

        for module in model.modules():
            if isinstance(module, self._layer_class()) and not isinstance(module.weight, bitsandbytes.nn.Params4bit | bitsandbytes.nn.Int8Params):
                drawn = module.weight.data
                module.weight = self._quantizable(drawn.cpu(), module).to(drawn.device)

    def _layer_class(self) -> Any:
        """The class of the scheme's layers."""
        raise NotImplementedError

    def _quantizable(self, weight: torch.Tensor, layer: Any) -> Any:
        """The parameter that becomes the layer's quantized weight when it is moved to a device."""
        raise NotImplementedError

    def is_quantized_layer(self, module: torch.nn.Module) -> bool:
        """See WhileLoading.is_quantized_layer."""
        return isinstance(module, self._layer_class())

    def values(self, layer: Any) -> torch.Tensor:
        """transformers' dequantization of bitsandbytes' weights."""
        from transformers.integrations.bitsandbytes import dequantize_bnb_weight

        values: torch.Tensor = dequantize_bnb_weight(layer.weight, getattr(layer, "state", None))
        return values


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
            llm_int8_skip_modules=self.kept(head),
        )

    def values(self, layer: Any) -> torch.Tensor:
        """See BitsAndBytes.values. 16-bit main weights are made int8 at every product, and so they are here."""
        if not layer.state.has_fp16_weights:
            return super().values(layer)
        import torch
        from bitsandbytes.functional import int8_vectorwise_dequant, int8_vectorwise_quant

        quantized, scales, _ = int8_vectorwise_quant(layer.weight.data.to(torch.float16))
        values: torch.Tensor = int8_vectorwise_dequant(quantized, scales)
        return values

    def _layer_class(self) -> Any:
        import bitsandbytes

        return bitsandbytes.nn.Linear8bitLt

    def _quantizable(self, weight: torch.Tensor, layer: Any) -> Any:
        import bitsandbytes

        return bitsandbytes.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=self.has_fp16_weight)


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
            llm_int8_skip_modules=self.kept(head),
        )

    def settle(self, model: PreTrainedModel) -> None:
        """See BitsAndBytes.settle. Keeps bitsandbytes from repacking weights for a CPU's bfloat16 instructions at the first evaluation, too.

        The repacked layer has no backward pass: evaluated once, it would pass no gradient on in training, unnoticed.
        """
        super().settle(model)
        for module in model.modules():
            if isinstance(module, self._layer_class()):
                module.support_avx512bf16_for_cpu = False

    def _layer_class(self) -> Any:
        import bitsandbytes

        return bitsandbytes.nn.Linear4bit

    def _quantizable(self, weight: torch.Tensor, layer: Any) -> Any:
        import bitsandbytes
        import torch

        return bitsandbytes.nn.Params4bit(
            weight,
            requires_grad=False,
            compress_statistics=self.double_quant,
            quant_type=self.data_type,
            quant_storage=getattr(torch, self.quant_storage),
            module=layer,
        )


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
