"""What GPTQ, AWQ and round-to-nearest share: integers in groups, packed by gptqmodel, loaded by transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import Unsupported
from harness.models.anatomy import Anatomy, Module
from harness.needs import ModelFacts, Needs
from harness.quantization.base import QuantizedLayer, StoredScheme
from harness.quantization.gptqmodel_library import (
    LIBRARIES,
    NOT_LOADED_BACK,
    defined_model_types,
    prepare_import,
)
from harness.quantization.job import QuantizationJob
from harness.quantization.packed_kernels import CHOSEN_BY_THE_LIBRARY, Kernel

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PACKAGES = ("gptqmodel", "optimum")


class Packed(StoredScheme):
    """Weights as integers of `bits` bits; `group_size` weights of a row share a scale and a zero point.

    A subclass registers itself under names that end in `-<bits>bit`, and declares the fields below with its library's choices.
    kernels: those that can be asked for by name. plain_kernel: the one of them that computes and trains anywhere.
    features_multiple_of: what a layer's inputs and outputs must be multiples of. not_loaded_back: model types that come out in a form
    that transformers does not load, with the reason.
    """

    group_size: int
    sym: bool
    kernel: str

    libraries: ClassVar[tuple[str, ...]] = LIBRARIES
    loading_fields: ClassVar[tuple[str, ...]] = ("kernel",)
    kernels: ClassVar[Mapping[str, Kernel]]
    needs: ClassVar[Needs] = Needs(packages=PACKAGES)
    plain_kernel: ClassVar[str]
    features_multiple_of: ClassVar[tuple[int, int]]
    not_loaded_back: ClassVar[Mapping[str, str]] = NOT_LOADED_BACK

    @property
    def bits(self) -> int:
        """Bits of a weight, as the scheme's name says."""
        return int(self.scheme.rpartition("-")[2].removesuffix("bit"))

    def needed(self) -> Needs:
        """See Scheme.needed: CUDA too where the kernel asked for has no other device."""
        asked = self.kernels.get(self.kernel)
        return replace(self.needs, cuda=asked is not None and asked.cuda)

    def unsupported(self, model: ModelFacts | None) -> str | None:
        """Refuses models that gptqmodel has no definition for, and what the kernel asked for cannot compute."""
        lacking = super().unsupported(model) or self._lacking()
        if lacking is not None or model is None:
            return lacking
        if model.kind != "decoder":
            return f"{self.scheme}: gptqmodel quantizes decoders alone; {model.model_type} is a(n) {model.kind}"
        if model.model_type not in defined_model_types():
            return f"{self.scheme}: the installed gptqmodel has no definition of {model.model_type} models"
        reason = self.not_loaded_back.get(model.model_type)
        return None if reason is None else f"{self.scheme}: {model.model_type} models cannot be loaded once they are quantized: {reason}"

    def unfit(self, anatomy: Anatomy) -> str | None:
        """Refuses groups that do not divide a row, and sizes that the packed format has no place for."""
        return next((reason for module in quantizable(anatomy) if (reason := self._misfit(module)) is not None), None)

    def loaded_for(self, device: str, tunes: bool) -> Packed:
        """The kernel chosen: one that trains where a method tunes, the plain one on a CPU. Raises Unsupported where the one asked for cannot train."""
        if self.kernel == "auto":
            fastest = "fastest" if device == "cuda" else self.plain_kernel
            trainable = "trainable" if device == "cuda" else self.plain_kernel
            return self.model_copy(update={"kernel": trainable if tunes else fastest})
        asked = self.kernels.get(self.kernel)
        if tunes and (self.kernel == "fastest" or (asked is not None and not asked.trains)):
            raise Unsupported(f"{self.scheme}: no gradients pass through kernel: {self.kernel}; `auto` takes one that trains")
        return self

    def quantization_config(self, dtype: torch.dtype, head: list[str]) -> Any:
        """What transformers' loader of such checkpoints is told beside what the checkpoint says: the kernel."""
        import torch

        prepare_import()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        resolved = self.loaded_for(device, tunes=True).kernel if self.kernel == "auto" else self.kernel
        if dtype == torch.float32 and resolved in CHOSEN_BY_THE_LIBRARY:
            resolved = self.plain_kernel  # the library would choose a kernel for 16-bit activations
        return self.loading_config(CHOSEN_BY_THE_LIBRARY.get(resolved, resolved))

    def loading_config(self, backend: str) -> Any:
        """transformers' configuration class of the checkpoint's format, with this kernel."""
        raise NotImplementedError

    def settle(self, model: PreTrainedModel) -> None:
        """See packed_layers.settle."""
        from harness.quantization.packed_layers import settle

        settle(model)

    def quantized_layers(self, model: Any) -> Iterator[QuantizedLayer]:
        """gptqmodel's layers."""
        from harness.quantization.packed_layers import measured_layers

        return measured_layers(model)

    def dequantized(self, model: PreTrainedModel) -> PreTrainedModel:
        """See packed_layers.dequantized."""
        from harness.quantization.packed_layers import dequantized

        return dequantized(model)

    def restore(self, model: PreTrainedModel, folder: Path) -> None:
        """Puts back a trained classification head, which gptqmodel's checkpoint has no place for."""
        from harness.quantization.packing import restore_head

        restore_head(model, folder)

    def quantize(self, job: QuantizationJob) -> None:
        """Writes gptqmodel's checkpoint."""
        from harness.quantization.packing import pack

        prepare_import()
        pack(job, self.packing_config(), self.packing_dtype(job.dtype), self.packing_backend)

    @property
    def packing_backend(self) -> str:
        """gptqmodel's name of the kernel that packs."""
        raise NotImplementedError

    def packing_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """The dtype in which weights are read and their integers searched; by default the model's."""
        return dtype

    def packing_config(self) -> Any:
        """gptqmodel's configuration: how the integers are found."""
        raise NotImplementedError

    def _lacking(self) -> str | None:
        asked = self.kernels.get(self.kernel)
        lacks = None if asked is None else asked.lacks(self.bits, self.group_size, self.sym)
        return None if lacks is None else f"{self.scheme}: kernel: {self.kernel} has no code for {lacks}"

    def _misfit(self, module: Module) -> str | None:
        rows, columns = module.in_features, module.out_features
        if self.group_size > 0 and rows % self.group_size:
            fitting = ", ".join(str(size) for size in (16, 32, 64, 128, 256, 512, 1024) if not rows % size) or "none of the library's"
            return f"{self.scheme}: group_size: {self.group_size} does not divide the {rows} weights of a row of {module.name}; {fitting} would, and -1: whole rows"
        for what, size, multiple in (("inputs", rows, self.features_multiple_of[0]), ("outputs", columns, self.features_multiple_of[1])):
            if size % multiple:
                return f"{self.scheme}: {module.name} has {size} {what}; gptqmodel packs and computes multiples of {multiple}"
        return None


def quantizable(anatomy: Anatomy) -> Iterator[Module]:
    """The matrices that gptqmodel quantizes: those of the layers, embeddings and heads not among them."""
    return (module for module in anatomy.modules if module.is_matrix and module.layer is not None and not module.in_head)
