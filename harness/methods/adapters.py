"""Bottleneck adapters: small modules in every layer, through a PEFT tuner of our own (harness.methods.tuners)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import METHODS, Attachment, SizedMethod
from harness.methods.peft_model import PeftMethod
from harness.methods.targets import part_names
from harness.models.anatomy import Anatomy, Module
from harness.models.families import FAMILIES, Part
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

NonLinearity: TypeAlias = Literal[
    "gelu", "gelu_new", "gelu_pytorch_tanh", "hardswish", "leaky_relu", "linear", "mish", "quick_gelu",
    "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh",
]  # fmt: skip
Initialisation: TypeAlias = Literal["houlsby", "bert", "lora"]
BOTTLENECK = "width of the adapters"
NON_LINEARITY = "non-linearity between the two matrices, by transformers' name"
INITIALISATION = "houlsby: normal of std 1e-2, cut at two std; bert: normal of std 0.02; lora: Kaiming down, zero up. Biases are zero"


class AdapterMethod(PeftMethod, SizedMethod):
    """What all bottleneck adapters share. A subclass says where they sit, and gives bottleneck and non_linearity a default.

    places: the parts whose output an adapter changes.
    """

    config_class: ClassVar[str] = "PeltConfig"
    knob: ClassVar[str] = "bottleneck"
    places: ClassVar[tuple[Part, ...]]

    bottleneck: int = identity(ge=1, description=BOTTLENECK)
    non_linearity: NonLinearity = identity(description=NON_LINEARITY)
    dropout: float = identity(0.0, ge=0, lt=1, description="dropout on the bottleneck")
    layers: list[int] | None = identity(None, description="only these layers of each stack, counted from 0; null: all")

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """Refuses unknown families, layers that the model does not have, and bottlenecks wider than the model."""
        if model is None:
            return None
        if model.model_type not in FAMILIES or not set(self.places) <= set(FAMILIES[model.model_type].parts.values()):
            return f"where its adapters go ({', '.join(self.places)}) is not known of {model.model_type} models"
        if self.budget is None and model.hidden_size is not None and self.bottleneck > model.hidden_size:
            return f"bottleneck {self.bottleneck} is larger than the model's hidden size {model.hidden_size}"
        beyond = [layer for layer in self.layers or () if model.layers is not None and not 0 <= layer < model.layers]
        return f"layer {beyond[0]} is not one of the model's {model.layers} (0 to {(model.layers or 0) - 1})" if beyond else None

    def adapted_modules(self, anatomy: Anatomy) -> list[Module]:
        """The matrices whose output an adapter changes. Raises Unsupported where there are none."""
        return chosen_matrices(anatomy, self.places, self.layers, self.method)

    def tuned_norms(self, anatomy: Anatomy) -> list[Module]:
        """Norms that are tuned beside the adapters."""
        return []

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """PeltConfig's values."""
        return {
            "adapter_modules": [module.name for module in self.adapted_modules(attachment.anatomy)],
            "bottleneck": self.bottleneck,
            "non_linearity": self.non_linearity,
            "adapter_dropout": self.dropout,
            "norm_modules": [module.name for module in self.tuned_norms(attachment.anatomy)],
        }

    def count(self, anatomy: Anatomy) -> int:
        """Sum over adapters of their parameters, with those of the norms that are tuned."""
        adapters = sum(self.adapter_count(module) for module in self.adapted_modules(anatomy))
        return adapters + sum(norm.parameters for norm in self.tuned_norms(anatomy))

    def adapter_count(self, module: Module) -> int:
        """Parameters of the adapter on one matrix."""
        raise NotImplementedError


class PlainAdapter(AdapterMethod):
    """Adapters of two plain matrices."""

    init: Initialisation = identity(description=INITIALISATION)

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """PeltConfig's values."""
        return super().peft_values(attachment) | {"adapter_init": self.init}

    def adapter_count(self, module: Module) -> int:
        """2 d m + d + m, with d the matrix's outputs and m the bottleneck."""
        return bottleneck_count(module.out_features, self.bottleneck)


class EveryBlock(AdapterMethod):
    """Adapters after every attention and every FFN, and norms tuned with them."""

    places: ClassVar[tuple[Part, ...]] = ("attention_out", "ffn_out")

    train_norms: bool = identity(True, description="whether all norms of the model are tuned too")

    def tuned_norms(self, anatomy: Anatomy) -> list[Module]:
        """All of the model's, with train_norms."""
        return list(anatomy.norms()) if self.train_norms else []


@METHODS.register("houlsby")
class Houlsby(EveryBlock, PlainAdapter):
    """Adapters after attention and after the FFN of every layer, and all norms tuned: y + up(act(down(y))).

    Trainable parameters, d the hidden size and m the bottleneck: per adapter 2 d m + d + m, two adapters a layer
    (three in a decoder with cross-attention), and the norms' weights and biases.
    Source: Houlsby et al. 2019 (arXiv 1902.00751), sec. 2.1 and fig. 2; bottleneck 64 is the paper's fixed
    size on GLUE, GELU its code's non-linearity, the initialisation sec. 3.6's.
    """

    bottleneck: int = identity(64, ge=1, description=BOTTLENECK)
    non_linearity: NonLinearity = identity("gelu", description=NON_LINEARITY)
    init: Initialisation = identity("houlsby", description=INITIALISATION)


@METHODS.register("pfeiffer")
class Pfeiffer(PlainAdapter):
    """One adapter a layer, after the FFN; norms stay frozen.

    Trainable parameters, d the hidden size and m the bottleneck: per layer 2 d m + d + m.
    Source: Pfeiffer et al. 2021 (AdapterFusion, arXiv 2005.00247) and its code: ReLU, reduction 16, which is bottleneck
    48 at BERT-base's 768, and BERT's initialisation.
    """

    places: ClassVar[tuple[Part, ...]] = ("ffn_out",)

    bottleneck: int = identity(48, ge=1, description=BOTTLENECK)
    non_linearity: NonLinearity = identity("relu", description=NON_LINEARITY)
    init: Initialisation = identity("bert", description=INITIALISATION)


@METHODS.register("parallel")
class Parallel(PlainAdapter):
    """Scaled parallel adapters beside every FFN: FFN(x) + scale * up(act(down(x))), x the FFN's own input.

    Trainable parameters, d the hidden size and m the bottleneck: per layer 2 d m + d + m.
    Source: He et al. 2021 (arXiv 2110.04366), sec. 3.3 and 4.6: ReLU, s = 4, LoRA's initialisation. The paper's bottleneck
    is 512 on BART-large; the default here is one that smaller models can carry.
    """

    places: ClassVar[tuple[Part, ...]] = ("ffn_out",)

    bottleneck: int = identity(64, ge=1, description=BOTTLENECK)
    non_linearity: NonLinearity = identity("relu", description=NON_LINEARITY)
    init: Initialisation = identity("lora", description=INITIALISATION)
    scale: float = identity(4.0, gt=0, description="factor of the adapters' change, s in the paper")

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """PeltConfig's values."""
        adapted = self.adapted_modules(attachment.anatomy)
        inputs = ffn_inputs(attachment.anatomy, adapted)
        return super().peft_values(attachment) | {"adapter_inputs": inputs, "adapter_scale": self.scale}


@METHODS.register("compacter")
class Compacter(EveryBlock):
    """Houlsby's adapters and tuned norms, the adapters' matrices sums of n Kronecker products A_i (x) (s_i t_i).

    The A_i (n x n) are shared by all adapters and both directions. Trainable parameters, d the hidden size, m the
    bottleneck, r the rank: n^3 once, per adapter 2 r (d + m) + d + m, and the norms' weights and biases.
    Source: Karimi Mahabadi et al. 2021 (arXiv 2106.04647); n = 4, r = 1, tanh's GELU and reduction 32 (24 at
    T5-base's 768) as in its code.
    """

    bottleneck: int = identity(24, ge=1, description="width of the adapters, a multiple of hypercomplex_division")
    non_linearity: NonLinearity = identity("gelu_new", description=NON_LINEARITY)
    hypercomplex_division: int = identity(4, ge=2, description="n: number of Kronecker products, and size of their shared factors")
    phm_rank: int = identity(1, ge=1, description="rank of the other factors")

    @property
    def step(self) -> int:
        """The bottleneck is divided into n parts."""
        return self.hypercomplex_division

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """As for all adapters; n must divide the bottleneck and the model's hidden size."""
        n = self.hypercomplex_division
        if self.budget is None and self.bottleneck % n:
            return f"bottleneck {self.bottleneck} is no multiple of hypercomplex_division {n}"
        if model is not None and model.hidden_size is not None and model.hidden_size % n:
            return f"hypercomplex_division {n} does not divide the model's hidden size {model.hidden_size}"
        return super().unsupported(model, scheme)

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """PeltConfig's values."""
        return super().peft_values(attachment) | {"hypercomplex_division": self.hypercomplex_division, "phm_rank": self.phm_rank}

    def count(self, anatomy: Anatomy) -> int:
        """That of all adapters, and n^3 for what they share."""
        return super().count(anatomy) + self.hypercomplex_division**3

    def adapter_count(self, module: Module) -> int:
        """2 r (d + m) + d + m: per direction n factors s_i (d/n x r) and n factors t_i (r x m/n), and a bias."""
        return (2 * self.phm_rank + 1) * (module.out_features + self.bottleneck)


def chosen_matrices(anatomy: Anatomy, places: Sequence[Part], layers: Sequence[int] | None, what: str) -> list[Module]:
    """The matrices that play these parts, in these layers only where some are named.

    Raises Unsupported, naming `what` needs them, where the model has none.
    """
    part_names(anatomy, places, what)
    chosen = [module for module in anatomy.matrices(*places) if layers is None or module.layer in layers]
    if not chosen:
        raise Unsupported(f"{what} is for layers {list(layers or ())}; the model has layers 0 to {anatomy.layers - 1}")
    return chosen


def ffn_inputs(anatomy: Anatomy, outputs: Sequence[Module]) -> list[str]:
    """For the last matrix of each FFN the name of its first one, which reads the FFN's input.

    Raises Unsupported where a layer has no single FFN.
    """
    firsts: dict[tuple[str, int | None], list[str]] = {}
    for module in anatomy.matrices("ffn_in"):
        firsts.setdefault((module.stack, module.layer), []).append(module.name)
    found = [firsts.get((module.stack, module.layer), []) for module in outputs]
    if any(len(names) != 1 for names in found):
        raise Unsupported(f"a layer of {anatomy.model_type} models has no single FFN whose input an adapter could read")
    return [names[0] for names in found]


def bottleneck_count(width: int, bottleneck: int) -> int:
    """Parameters of one plain adapter: two matrices and their biases."""
    return 2 * width * bottleneck + width + bottleneck
