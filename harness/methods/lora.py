"""LoRA (Hu et al. 2021, arXiv 2106.09685) through PEFT, every field of its LoraConfig included."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from harness.fields import identity
from harness.methods.base import METHODS, Attachment, SizedMethod
from harness.methods.peft_model import PeftMethod
from harness.methods.targets import Modules, family_targets, targeted
from harness.models.anatomy import Anatomy
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

DATA_DRIVEN = ("eva", "corda", "lora_ga")
OURS = {"method", "budget"}  # fields that PEFT does not know


@METHODS.register("lora")
class Lora(PeftMethod, SizedMethod):
    """A low-rank update beside frozen weights: W x + (alpha / r) B A x, with A (r x in) and B (out x r) tuned.

    Trainable parameters: sum over target modules of r * (in + out). The fields are LoraConfig's, verbatim;
    those not given are left to the installed PEFT. `target_modules` null takes query and value of the family.
    """

    merges: ClassVar[bool] = True
    config_class: ClassVar[str] = "LoraConfig"
    knob: ClassVar[str] = "r"

    r: int = identity(8, ge=1, description="rank of the update")
    lora_alpha: float = identity(8, gt=0, description="the update is scaled by lora_alpha / r")
    lora_dropout: float = identity(0.0, ge=0, lt=1, description="dropout on the update's input")
    target_modules: Modules = identity(None, description="module names, a regular expression, all-linear, or null: query and value of the model family")
    exclude_modules: Modules = identity(None, description="module names or a regular expression that are left alone")
    bias: Literal["none", "all", "lora_only"] = identity("none", description="which biases are tuned too")
    use_rslora: bool = identity(False, description="scale by lora_alpha / sqrt(r) (arXiv 2312.03732)")
    use_dora: bool = identity(False, description="tune magnitude and direction apart (arXiv 2402.09353)")
    init_lora_weights: bool | str = identity(True, description="true, false, gaussian, pissa, pissa_niter_<n>, olora, orthogonal, ...")
    modules_to_save: list[str] | None = identity(None, description="further modules tuned whole; the task head always is")
    layers_to_transform: list[int] | int | None = identity(None, description="only these layers")
    layers_pattern: Modules = identity(None, description="name of the layer list, with layers_to_transform")
    rank_pattern: dict[str, int] | None = identity(None, description="rank by module name or regular expression")
    alpha_pattern: dict[str, float] | None = identity(None, description="lora_alpha by module name or regular expression")
    fan_in_fan_out: bool | None = identity(None, description="weights stored (in, out) as GPT-2's Conv1D; null: PEFT finds out")
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
        """Refuses what cannot work by its fields alone."""
        if self.init_lora_weights in DATA_DRIVEN:
            return f"init_lora_weights: {self.init_lora_weights} needs a pass over data before training, which this harness does not do yet"
        if model is not None and model.hidden_size is not None and self.r > model.hidden_size:
            return f"rank {self.r} is larger than the model's hidden size {model.hidden_size}"
        if self.init_lora_weights in ("loftq", "pissa", "olora") and scheme.quantizes:
            return f"init_lora_weights: {self.init_lora_weights} factors full-precision weights; {scheme.scheme} has replaced them"
        return None

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """The fields that were given, rank and scale always."""
        values = self.model_dump(include=self.model_fields_set | {"r", "lora_alpha"}, exclude=OURS, exclude_none=True)
        if self.target_modules is None and self.target_parameters is None:
            values["target_modules"] = family_targets(attachment.model.model_type)
        return values

    def count(self, anatomy: Anatomy) -> int:
        """Sum over targets of r (in + out); with DoRA, B's bias or tuned biases their sizes more."""
        raise NotImplementedError
