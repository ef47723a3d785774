"""LoRA (Hu et al. 2021, arXiv 2106.09685) through PEFT, every field of its LoraConfig included, and LoRA+."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import METHODS, Attachment, SizedMethod
from harness.methods.matrices import (
    CONV1D_FAMILIES,
    MatrixMethod,
    check_rank,
    largest_rank,
    rank_of,
    rank_trouble,
)
from harness.methods.peft_config import PeftConfigMethod
from harness.methods.peft_fields import config_fields
from harness.methods.targets import matches, saved_whole, tuned_biases
from harness.methods.tfew import ChoiceLosses
from harness.models.anatomy import Anatomy, Module
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DATA_DRIVEN = ("eva", "corda", "lora_ga")
FROM_WEIGHTS = ("pissa", "olora", "loftq", "mica")  # initialised from the base weights; all but mica replace these by what is left


@METHODS.register("lora")
class Lora(ChoiceLosses, SizedMethod, MatrixMethod):
    """A low-rank update beside frozen weights: W x + (alpha / r) B A x, with A (r x in) and B (out x r) tuned.

    Trainable parameters: sum over target modules of r * (in + out). The fields are LoraConfig's, verbatim;
    those that are null are left to the installed PEFT. `target_modules` null takes query and value of the family.
    """

    merges: ClassVar[bool] = True
    embeddings: ClassVar[bool] = True
    config_class: ClassVar[str] = "LoraConfig"
    knob: ClassVar[str] = "r"

    r: int = identity(8, ge=1, description="rank of the update")
    lora_alpha: float = identity(8, gt=0, description="the update is scaled by lora_alpha / r")
    lora_dropout: float = identity(0.0, ge=0, lt=1, description="dropout on the update's input")
    bias: Literal["none", "all", "lora_only"] = identity("none", description="which biases are tuned too")
    loraplus_lr_ratio: float | None = identity(None, gt=0, description="LoRA+: learning rate of B over that of A (arXiv 2402.12354); the paper takes 16")
    use_rslora: bool = identity(False, description="scale by lora_alpha / sqrt(r) (arXiv 2312.03732)")
    use_dora: bool = identity(False, description="tune magnitude and direction apart (arXiv 2402.09353)")
    init_lora_weights: bool | str = identity(True, description="true, false, gaussian, pissa, pissa_niter_<n>, olora, loftq, orthogonal, mica")
    rank_pattern: dict[str, int] | None = identity(None, description="rank by module name or regular expression")
    alpha_pattern: dict[str, float] | None = identity(None, description="lora_alpha by module name or regular expression")
    fan_in_fan_out: bool | None = identity(None, description="weights stored (in, out) as GPT-2's Conv1D; null: as the model has them")
    lora_bias: bool | None = identity(None, description="a bias for B")
    target_parameters: list[str] | None = identity(None, description="nn.Parameter names (experts) instead of modules")
    trainable_token_indices: list[int] | dict[str, list[int]] | None = identity(None, description="token embeddings tuned too")
    layer_replication: list[tuple[int, int]] | None = identity(None, description="layer ranges stacked to a deeper model")
    ensure_weight_tying: bool | None = identity(None, description="keep tied weights tied")
    use_qalora: bool | None = identity(None, description="group-wise A for quantized bases (arXiv 2309.14717)")
    qalora_group_size: int | None = identity(None, ge=1, description="group size of use_qalora")
    alora_invocation_tokens: list[int] | None = identity(None, description="activate LoRA from these tokens on")
    loftq_config: dict[str, Any] | None = identity(None, description="LoftQConfig fields, with init_lora_weights: loftq")
    eva_config: dict[str, Any] | None = identity(None, description="EvaConfig fields")
    corda_config: dict[str, Any] | None = identity(None, description="CordaConfig fields")
    lora_ga_config: dict[str, Any] | None = identity(None, description="LoraGAConfig fields")
    velora_config: dict[str, Any] | None = identity(None, description="VeloraConfig fields")
    monteclora_config: dict[str, Any] | None = identity(None, description="MontecloraConfig fields")
    use_bdlora: dict[str, Any] | None = identity(None, description="BdLoraConfig fields")
    arrow_config: dict[str, Any] | None = identity(None, description="ArrowConfig fields")
    kasa_config: dict[str, Any] | None = identity(None, description="KasaConfig fields")
    runtime_config: dict[str, Any] | None = identity(None, description="LoraRuntimeConfig fields")
    megatron_config: dict[str, Any] | None = identity(None, description="Megatron's TransformerConfig fields")
    megatron_core: str | None = identity(None, description="module of Megatron's parallel layers")

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """Refuses what cannot work by its fields alone; ranks against the exact matrices are checked when it is counted or attached."""
        if self.init_lora_weights in DATA_DRIVEN:
            return f"init_lora_weights: {self.init_lora_weights} needs a pass over data before training, which this harness does not do yet"
        if self._from_weights and scheme.quantizes:
            return f"init_lora_weights: {self.init_lora_weights} factors full-precision weights; {scheme.scheme} has replaced them"
        if self.init_lora_weights == "loftq" and not self.loftq_config:
            return "init_lora_weights: loftq needs loftq_config: {loftq_bits: 4, loftq_iter: 1}; it quantizes the full-precision weights itself"
        if self.loraplus_lr_ratio is not None and self.init_lora_weights == "mica":
            return "loraplus_lr_ratio sets the learning rate of B, which init_lora_weights: mica freezes"
        if self.use_qalora and not scheme.scheme.startswith("gptq"):
            return f"use_qalora is for GPTQ weights; PEFT would train plain LoRA on those of {scheme.scheme}"
        if model is not None and self.alora_invocation_tokens is not None and model.kind != "decoder":
            return f"alora_invocation_tokens are for decoders; {model.model_type} is a(n) {model.kind}"
        if model is not None and self.init_lora_weights == "olora" and model.model_type in CONV1D_FAMILIES:
            return f"PEFT's olora factors {model.model_type}'s Conv1D weights the wrong way round"
        return rank_trouble(self.r, model)

    def targets(self, anatomy: Anatomy) -> list[Module]:
        """See MatrixMethod.targets; raises Unsupported for a rank larger than one of them."""
        found = super().targets(anatomy)
        for module in found:
            check_rank(rank_of(module, self.r, self.rank_pattern), module, "rank")
        return found

    def largest(self, anatomy: Anatomy) -> int:
        """The largest rank that all targets can have."""
        return largest_rank(super().targets(anatomy))

    def count(self, anatomy: Anatomy) -> int:
        """Sum over targets of r (in + out); biases, DoRA's magnitudes, tokens and modules tuned whole beside them.

        Raises NotImplementedError where LoRA is on parameters that are no module's weight, or experts are mixed.
        """
        for name in ("target_parameters", "monteclora_config", "arrow_config"):
            if getattr(self, name) is not None:
                raise NotImplementedError(f"the number of parameters that {name} adds is PEFT's to say")
        targets = [module for module in self.targets(anatomy) for _ in range(self._copies(module))]
        beside = tuned_biases(anatomy, targets, self.bias) + saved_whole(anatomy, self.modules_to_save) + self._tokens(anatomy)
        return sum(self._size(module) for module in targets) + beside

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """LoraConfig's values; targets by whole names, but as they were given where layers are replicated or experts named."""
        if self.layer_replication is not None:
            return {"target_modules": self.default_targets(attachment.anatomy)} | PeftConfigMethod.peft_values(self, attachment)
        if self.target_parameters is not None and self.target_modules is None:
            return PeftConfigMethod.peft_values(self, attachment)
        return super().peft_values(attachment)

    def parameter_groups(self, model: Any, learning_rate: float, weight_decay: float) -> list[dict[str, Any]] | None:
        """LoRA+'s groups: B learns loraplus_lr_ratio times as fast as all else; biases and magnitudes do not decay."""
        if self.loraplus_lr_ratio is None:
            return None
        groups: dict[tuple[float, float], list[Any]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                rate = learning_rate * (self.loraplus_lr_ratio if ".lora_B." in name else 1.0)
                decay = weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((rate, decay), []).append(parameter)
        return [{"params": parameters, "lr": rate, "weight_decay": decay} for (rate, decay), parameters in groups.items()]

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """See PeftMethod.attach; raises Unsupported for LoftQ without CUDA."""
        if self.init_lora_weights == "loftq" and model.device.type != "cuda":
            raise Unsupported("init_lora_weights: loftq quantizes on a CUDA device; there is none")
        return super().attach(model, attachment)

    def reload(self, model: PreTrainedModel, folder: Path, attachment: Attachment) -> Any:
        """PEFT's from_pretrained; what PiSSA's fast decomposition left in the base weights is drawn again from the same seed."""
        import torch

        torch.manual_seed(attachment.seed)
        return super().reload(model, folder, attachment)

    def off(self, model: Any) -> AbstractContextManager[Any]:
        """PEFT's disable_adapter; raises Unsupported where attaching has changed the base model."""
        changed: dict[str, Any] = {"kasa_config": self.kasa_config, "layer_replication": self.layer_replication}
        if self._from_weights and self.init_lora_weights != "mica":
            changed[f"init_lora_weights: {self.init_lora_weights}"] = self.init_lora_weights
        for what, given in changed.items():
            if given is not None:
                raise Unsupported(f"{what} changes the base model when it is attached: there is none to go back to")
        return super().off(model)

    def unmergeable(self) -> str | None:
        """See Method.unmergeable."""
        if self.layer_replication is not None:
            return "replicated layers share their base weights: each would be merged into all of its copies"
        if self.use_qalora:
            return "use_qalora: its A reads means over the groups of quantized weights, and PEFT does not merge that"
        if self.alora_invocation_tokens is not None:
            return "alora_invocation_tokens: the update works behind these tokens only, and merged it would work everywhere"
        return super().unmergeable()

    def merged(self, model: Any) -> Any:
        """PEFT's merge_and_unload; raises Unsupported for layers that share base weights, and for B's bias where the base has none."""
        reason = self.unmergeable()
        if reason is not None:
            raise Unsupported(reason)
        try:
            return super().merged(model)
        except RuntimeError as error:
            if not str(error).startswith("Impossible to merge"):
                raise
            raise Unsupported(f"peft does not merge LoraConfig here: {error}") from error

    @property
    def _from_weights(self) -> bool:
        return isinstance(self.init_lora_weights, str) and self.init_lora_weights.startswith(FROM_WEIGHTS)

    def _size(self, module: Module) -> int:
        rank, (a_in, b_out) = rank_of(module, self.r, self.rank_pattern), (module.in_features, module.out_features)
        a, b = rank * a_in, rank * b_out
        if self.use_qalora:
            a = rank * (a_in // (self.qalora_group_size or config_fields(self.config_class)["qalora_group_size"].default))
        if self.use_bdlora is not None:
            blocks = self.use_bdlora.get("nblocks", 1)
            a //= blocks if any(part in module.name for part in self.use_bdlora.get("target_modules_bd_a") or []) else 1
            b //= blocks if any(part in module.name for part in self.use_bdlora.get("target_modules_bd_b") or []) else 1
        if self.init_lora_weights == "mica":
            b = 0  # frozen
        kasa = rank if self.kasa_config is not None else 0
        return a + b + kasa + b_out * (bool(self.lora_bias) + self.use_dora)

    def _copies(self, module: Module) -> int:
        """How often the module is in the model after layers are replicated."""
        if self.layer_replication is None or module.layer is None:
            return 1
        return sum(start <= module.layer < end for start, end in self.layer_replication)

    def _tokens(self, anatomy: Anatomy) -> int:
        """Parameters of the token embeddings that are tuned too; by default those of the input embeddings."""
        asked = self.trainable_token_indices
        if asked is None:
            return 0
        embeddings = [module for module in anatomy.modules if module.kind == "embedding"]
        if isinstance(asked, list):
            return len(asked) * embeddings[0].out_features
        return sum(len(rows) * module.out_features for name, rows in asked.items() for module in embeddings if matches(module.name, [name]))
