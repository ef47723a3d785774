"""Methods that put several parts into every layer: UniPELT, which gates them, and mix-and-match adapters."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from harness.fields import identity
from harness.methods.adapters import (
    INITIALISATION,
    NON_LINEARITY,
    Initialisation,
    NonLinearity,
    bottleneck_count,
    chosen_matrices,
    ffn_inputs,
)
from harness.methods.base import METHODS, Attachment, SizedMethod
from harness.methods.peft_model import PeftMethod
from harness.methods.prefix import (
    PREFIX_DROPOUT,
    PREFIX_HIDDEN,
    PREFIX_LENGTH,
    PREFIX_STD,
    attentions,
    no_prefix,
    prefix_count,
    prefix_values,
)
from harness.models.anatomy import Anatomy, Module
from harness.needs import ModelFacts
from harness.quantization.base import Scheme


class CombinedMethod(PeftMethod, SizedMethod):
    """What methods with an adapter at every FFN and a prefix at every attention share.

    One knob sizes all parts: at another bottleneck the fields in `in_proportion` that are not given keep the proportion
    to it that their defaults have. The parts would else be fixed costs, above most budgets on their own.
    """

    config_class: ClassVar[str] = "PeltConfig"
    knob: ClassVar[str] = "bottleneck"
    in_proportion: ClassVar[tuple[str, ...]] = ("prefix_hidden",)

    bottleneck: int
    prefix_length: int
    prefix_hidden: int | None
    non_linearity: NonLinearity = identity("relu", description=NON_LINEARITY)
    dropout: float = identity(0.0, ge=0, lt=1, description="dropout on the bottleneck")
    prefix_dropout: float = identity(0.0, ge=0, lt=1, description=PREFIX_DROPOUT)
    init_std: float = identity(1.0, ge=0, description=PREFIX_STD)

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """As for any prefix; also refuses bottlenecks wider than the model."""
        if model is not None and model.hidden_size is not None and self.budget is None and self.bottleneck > model.hidden_size:
            return f"bottleneck {self.bottleneck} is larger than the model's hidden size {model.hidden_size}"
        return no_prefix(model, self.prefix_length)

    def with_size(self, size: int) -> SizedMethod:
        """The method at that bottleneck, its budget spent, the sizes in proportion that were not given following it."""
        fields = type(self).model_fields
        share = size / fields[self.knob].default
        follow = {name: max(1, round(share * fields[name].default)) for name in self.in_proportion if name not in self.model_fields_set}
        given = self.model_dump(exclude_unset=True) | follow | {self.knob: size, "budget": None}
        return type(self).model_validate(given)

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """PeltConfig's values for adapters and prefixes."""
        anatomy = attachment.anatomy
        adapters = {
            "adapter_modules": [module.name for module in chosen_matrices(anatomy, ("ffn_out",), None, self.method)],
            "bottleneck": self.bottleneck,
            "non_linearity": self.non_linearity,
            "adapter_dropout": self.dropout,
        }
        return adapters | prefix_values(anatomy, self.prefix_length, self.prefix_hidden, self.prefix_dropout, self.init_std)

    def count(self, anatomy: Anatomy) -> int:
        """Parameters of the adapters and of the prefixes."""
        adapted = chosen_matrices(anatomy, ("ffn_out",), None, self.method)
        adapters = sum(bottleneck_count(module.out_features, self.bottleneck) for module in adapted)
        return adapters + prefix_count(attentions(anatomy), anatomy.hidden_size, self.prefix_length, self.prefix_hidden)


@METHODS.register("unipelt")
class UniPelt(CombinedMethod):
    """An adapter after each FFN, a prefix at each attention and LoRA on queries and values, each behind a gate.

    A gate is sigmoid(w x + b) of what its part reads. In encoders it is averaged over a sequence's real tokens; in
    decoders every token has its own, because a mean would carry later tokens into earlier ones.
    Trainable parameters: pfeiffer's + prefix-tuning's; with form apl, r (in + out) per query and value (or fused)
    matrix; with gates, d + 1 per adapter, prefix and LoRA, d the width of what it reads.
    Source: Mao et al. 2021 (arXiv 2110.07577), sec. 3 and appendix: bottleneck 48, prefix 10 with an MLP of 512, r 8,
    alpha 16.
    """

    in_proportion: ClassVar[tuple[str, ...]] = ("prefix_hidden", "r")

    bottleneck: int = identity(48, ge=1, description="width of the adapters; with a budget r, lora_alpha and prefix_hidden follow it")
    form: Literal["ap", "apl"] = identity("apl", description="ap: adapters and prefixes; apl: LoRA as well")
    gates: bool = identity(True, description="whether each part is gated by its input; false: all parts are always open")
    init: Initialisation = identity("bert", description=INITIALISATION)
    prefix_length: int = identity(10, ge=1, description=PREFIX_LENGTH)
    prefix_hidden: int | None = identity(512, ge=1, description=PREFIX_HIDDEN)
    r: int = identity(8, ge=1, description="rank of LoRA's update")
    lora_alpha: float = identity(16, gt=0, description="LoRA's update is scaled by lora_alpha / r")
    lora_dropout: float = identity(0.0, ge=0, lt=1, description="dropout on the input of LoRA's update")

    def with_size(self, size: int) -> SizedMethod:
        """As for all combined methods; where r follows, lora_alpha does, so that LoRA's scale stays."""
        sized = super().with_size(size)
        if self.model_fields_set & {"r", "lora_alpha"}:
            return sized
        assert isinstance(sized, UniPelt), "a size does not change the method"
        fields = type(self).model_fields
        return sized.model_copy(update={"lora_alpha": sized.r * fields["lora_alpha"].default / fields["r"].default})

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """PeltConfig's values."""
        tuned = [module.name for module in self._low_rank(attachment.anatomy)]
        low_rank = {"lora_modules": tuned, "lora_r": self.r, "lora_alpha": self.lora_alpha, "lora_dropout": self.lora_dropout}
        return super().peft_values(attachment) | {"adapter_init": self.init, "gates": self.gates, **low_rank}

    def count(self, anatomy: Anatomy) -> int:
        """Parameters of the parts and of their gates."""
        low_rank = self._low_rank(anatomy)
        parts = super().count(anatomy) + sum(self.r * (module.in_features + module.out_features) for module in low_rank)
        if not self.gates:
            return parts
        read = [module.out_features for module in chosen_matrices(anatomy, ("ffn_out",), None, self.method)]
        read += [anatomy.hidden_size for _ in attentions(anatomy)]
        read += [module.in_features for module in low_rank]
        return parts + sum(width + 1 for width in read)

    def _low_rank(self, anatomy: Anatomy) -> list[Module]:
        return chosen_matrices(anatomy, ("query", "value", "qkv"), None, self.method) if self.form == "apl" else []


@METHODS.register("mam")
class MixAndMatch(CombinedMethod):
    """A prefix at each attention and a scaled parallel adapter beside each FFN.

    Trainable parameters: parallel's + prefix-tuning's.
    Source: He et al. 2021 (arXiv 2110.04366), sec. 4.6: prefix 30, bottleneck 512, s = 4, LoRA's initialisation.
    """

    bottleneck: int = identity(512, ge=1, description="width of the adapters; with a budget prefix_hidden follows it")
    init: Initialisation = identity("lora", description=INITIALISATION)
    scale: float = identity(4.0, gt=0, description="factor of the adapters' change, s in the paper")
    prefix_length: int = identity(30, ge=1, description=PREFIX_LENGTH)
    prefix_hidden: int | None = identity(512, ge=1, description=PREFIX_HIDDEN)

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """PeltConfig's values."""
        adapted = chosen_matrices(attachment.anatomy, ("ffn_out",), None, self.method)
        inputs = ffn_inputs(attachment.anatomy, adapted)
        return super().peft_values(attachment) | {"adapter_init": self.init, "adapter_inputs": inputs, "adapter_scale": self.scale}
