"""Checkpoints that somebody has quantized already: loaded as they are, from a hub or a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.fields import identity
from harness.needs import Machine, ModelFacts, Needs
from harness.quantization.base import SCHEMES, QuantizedLayer, Scheme
from harness.quantization.packed import PACKAGES, Packed

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Stored:
    """Checkpoints of one quant_method. packages: what loading them takes. scheme: one of ours whose layers are the same library's."""

    packages: tuple[str, ...]
    scheme: str


STORED: Mapping[str, Stored] = {
    "awq": Stored(PACKAGES, "awq-4bit"),
    "bitsandbytes": Stored(("bitsandbytes",), "bnb-nf4"),
    "gptq": Stored(PACKAGES, "rtn-4bit"),
    "hqq": Stored(("hqq",), "hqq-4bit"),
    "quanto": Stored(("optimum.quanto",), "quanto-int8"),
    "torchao": Stored(("torchao",), "torchao-int8"),
}


@SCHEMES.register("prequantized")
class Prequantized(Scheme):
    """The checkpoint's own quantization: bits, groups and what was left out are as its config.json says."""

    rounds_activations: ClassVar[bool] = True  # it may be bitsandbytes' int8

    kernel: Literal["auto", "trainable", "fastest", "torch"] = identity(
        "auto", description="of GPTQ and AWQ checkpoints, gptqmodel's kernel; auto: one that trains where a method tunes, the fastest elsewhere, torch on a CPU"
    )

    def unsupported(self, model: ModelFacts | None) -> str | None:
        """Refuses checkpoints that are not quantized, or in a way that is not known here, and libraries that are not installed."""
        if model is None:
            return None
        if model.prequantized is None:
            return "prequantized: the checkpoint is not quantized; name a scheme that quantizes it, or `none`"
        if model.prequantized not in STORED:
            return f"prequantized: the checkpoint is quantized as {model.prequantized!r}; known: {', '.join(STORED)}"
        return Needs(packages=STORED[model.prequantized].packages).unmet(Machine(), None)

    def loaded_for(self, device: str, tunes: bool) -> Prequantized:
        """The kernel chosen, as for the schemes that quantize; see Packed.loaded_for."""
        if self.kernel != "auto":
            return self
        return self.model_copy(update={"kernel": "torch" if device == "cpu" else "trainable" if tunes else "fastest"})

    def for_checkpoint(self, stored_as: str | None) -> Scheme:
        """For gptqmodel's checkpoints the scheme that loads its own of that format, because their kernel must be chosen."""
        scheme = self if stored_as is None else _ours(stored_as)
        if not isinstance(scheme, Packed):
            return self
        return scheme.model_copy(update={"kernel": scheme.plain_kernel if self.kernel == "torch" else self.kernel})

    def quantization_config(self, dtype: torch.dtype, head: list[str]) -> None:
        """None: the checkpoint says by itself how it is stored."""
        return

    def settle(self, model: PreTrainedModel) -> None:
        """What the scheme of the same library has to put right."""
        _ours(_stored_as(model)).settle(model)

    def quantized_layers(self, model: Any) -> Iterator[QuantizedLayer]:
        """As the scheme of the same library finds them; none in a model that was dequantized."""
        return iter(()) if not _stored_as(model) else _ours(_stored_as(model)).quantized_layers(model)

    def dequantized(self, model: PreTrainedModel) -> PreTrainedModel:
        """As the scheme of the same library does it."""
        return _ours(_stored_as(model)).dequantized(model)


def _ours(stored_as: str) -> Scheme:
    name = STORED[stored_as].scheme
    return SCHEMES.get(name)(scheme=name)


def _stored_as(model: Any) -> str:
    """The quant_method of a loaded model, empty where it has none."""
    config = getattr(model.config, "quantization_config", None)
    return "" if config is None else str(getattr(config.quant_method, "value", config.quant_method))
