"""Selective tuning: some of the base model's own parameters are tuned, the others are frozen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import METHODS, Attachment, SizedMethod
from harness.methods.heads import tune_in_float32
from harness.methods.peft_model import prepared
from harness.methods.whole import TunedBase
from harness.models.anatomy import Anatomy, Module
from harness.models.families import Part
from harness.models.load import head_modules
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FILE = "tuned_parameters.safetensors"
_BEHIND_LAYERS = re.compile(r"(^|\.)(ln_f|norm|layer_norm|final_\w*norm|pooler\.dense)$")  # before them: `embeddings.LayerNorm`, ...

_QUERY_AND_INTERMEDIATE: tuple[Part, Part] = ("query", "ffn_in")


class Selective(TunedBase):
    """A method that tunes some of the base's own parameters, and the new task head.

    What is saved is one file with the tuned parameters. There is no `off`: the base's values are gone, and a
    second copy kept for it would be memory that the method does not need.
    """

    def tunes_parameter(self, name: str, anatomy: Anatomy) -> bool:
        """Whether the base parameter of that full name is tuned."""
        raise NotImplementedError

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """The same model with the chosen parameters and the new task head requiring gradients."""
        self.count(attachment.anatomy)  # refuses a model that has nothing to tune
        head = {module.name for module in attachment.anatomy.modules if module.in_head}
        model = prepared(model, attachment)
        for name in head_modules(model) if attachment.new_head else []:
            tune_in_float32(model.get_submodule(name), attachment)
        if attachment.scheme.quantizes:
            model._hf_peft_config_loaded = True  # else the Trainer takes it for one whose quantized weights are to be tuned
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.rpartition(".")[0] in head or self.tunes_parameter(name, attachment.anatomy))
        return model

    def save(self, model: Any, folder: Path) -> None:
        """tuned_parameters.safetensors: the tuned parameters under their names in the model."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tuned = {name: parameter.detach().contiguous() for name, parameter in model.named_parameters() if parameter.requires_grad}
        save_file(tuned, folder / _FILE)

    def reload(self, model: PreTrainedModel, folder: Path, attachment: Attachment) -> Any:
        """The freshly loaded model with the tuned values in place of its own."""
        import torch
        from safetensors.torch import load_file

        model = self.attach(model, attachment)
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in load_file(folder / _FILE).items():
                parameters[name].copy_(value)
        return model


@METHODS.register("top-k")
class TopK(Selective, SizedMethod):
    """The last k layers are tuned whole, with what stands behind them (final norm, pooler) and the new task head.

    The adapter paper's baseline "variable fine-tuning" (Houlsby et al. 2019, arXiv 1902.00751, sec. 3). Of an
    encoder-decoder the last k layers of the decoder. Trainable parameters, the head not among them: the sum over
    the modules of these layers, and over those behind them, of weights and biases.
    """

    knob: ClassVar[str] = "k"

    k: int = identity(1, ge=1, description="layers tuned, counted from the top")

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """Quantized weights have no gradient; and a model has only so many layers."""
        if not scheme.tunable_weights:
            return f"{self.method} tunes whole layers; {scheme.scheme} stores their weights quantized, without gradients"
        if model is not None and model.layers is not None and model.kind != "encoder-decoder" and self.k > model.layers:
            return f"k {self.k} is more than the model's {model.layers} layers"
        return None

    def largest(self, anatomy: Anatomy) -> int:
        """All layers of the stack."""
        return len({module.layer for module in _stack(anatomy) if module.layer is not None})

    def count(self, anatomy: Anatomy) -> int:
        """Sum of weights and biases over the tuned modules; raises Unsupported for more layers than there are."""
        return sum(module.parameters for module in self._modules(anatomy))

    def tunes_parameter(self, name: str, anatomy: Anatomy) -> bool:
        """Whether the parameter belongs to a tuned module."""
        return name.rpartition(".")[0] in {module.name for module in self._modules(anatomy)}

    def _modules(self, anatomy: Anatomy) -> list[Module]:
        layers = self.largest(anatomy)
        if not 1 <= self.k <= layers:
            raise Unsupported(f"k {self.k}: the last layers of this {anatomy.model_type} model are at most {layers}")
        return [module for module in _stack(anatomy) if (layers - self.k <= module.layer if module.layer is not None else _is_behind(module))]


@METHODS.register("bitfit")
class BitFit(Selective):
    """The bias terms are tuned, and the new task head (Ben Zaken et al. 2021, arXiv 2106.10199).

    Trainable parameters, the head not among them: all biases of projections and norms; with `biases:
    query-and-intermediate` (sec. 4.2: nearly as good) those of the query and the first feed-forward matrix.
    Biases are stored unquantized under every scheme.
    """

    biases: Literal["all", "query-and-intermediate"] = identity("all", description="all of them, or those of the query and the first feed-forward matrix")

    def count(self, anatomy: Anatomy) -> int:
        """Number of bias parameters; raises Unsupported for a model that does not have them."""
        if self.biases == "all":
            if not anatomy.biases:
                raise Unsupported(f"{self.method} tunes biases; this {anatomy.model_type} model has none")
            return anatomy.biases
        for part in _QUERY_AND_INTERMEDIATE:
            if not any(module.biases for module in anatomy.matrices(part)):
                raise Unsupported(f"biases: {self.biases} needs a bias of its own on every {part}; this {anatomy.model_type} model has none there")
        return sum(module.biases for module in anatomy.matrices(*_QUERY_AND_INTERMEDIATE))

    def tunes_parameter(self, name: str, anatomy: Anatomy) -> bool:
        """Whether it is one of the biases."""
        if self.biases == "all":
            return name.endswith("bias")
        return name in {f"{module.name}.bias" for module in anatomy.matrices(*_QUERY_AND_INTERMEDIATE)}


def _stack(anatomy: Anatomy) -> list[Module]:
    """The modules that top-k chooses from: of an encoder-decoder the decoder's."""
    return [
        module
        for module in anatomy.modules
        if not module.in_head and (anatomy.kind != "encoder-decoder" or module.stack == "decoder")
    ]


def _is_behind(module: Module) -> bool:
    """Whether a module outside of the layers works on their output; an embedding's own norm does not."""
    return _BEHIND_LAYERS.search(module.name) is not None and "embed" not in module.name
