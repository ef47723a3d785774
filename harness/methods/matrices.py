"""What all methods share that wrap a model's weight matrices through PEFT: which matrices, and how these are stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import Attachment
from harness.methods.peft_config import PeftConfigMethod
from harness.methods.peft_fields import config_fields
from harness.methods.targets import Modules, family_targets, targeted, within
from harness.models.anatomy import Anatomy, Module
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

CONV1D_FAMILIES = ("gpt2",)  # weights stored (in, out), in transformers' Conv1D


class MatrixMethod(PeftConfigMethod):
    """A PEFT method over weight matrices. PEFT gets their whole names, found by its own rules.

    conv1d, embeddings: whether it can wrap GPT-2's Conv1D and embeddings.
    """

    conv1d: ClassVar[bool] = True
    embeddings: ClassVar[bool] = False

    target_modules: Modules = identity(None, description="module names, a regular expression, all-linear, or null: query and value of the model family")
    exclude_modules: Modules = identity(None, description="module names or a regular expression that are left alone")
    layers_to_transform: list[int] | int | None = identity(None, description="only these layers")
    layers_pattern: Modules = identity(None, description="name of the layer list that layers_to_transform counts in; null: any")
    modules_to_save: list[str] | None = identity(None, description="further modules tuned whole; the task head always is")

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """Refuses Conv1D weights where PEFT cannot wrap them."""
        if not self.conv1d and model is not None and model.model_type in CONV1D_FAMILIES:
            return self._no_conv1d(model.model_type)
        return None

    def default_targets(self, anatomy: Anatomy) -> Modules:
        """What target_modules null stands for on that model: query and value of its family."""
        return family_targets(anatomy.model_type)

    def targets(self, anatomy: Anatomy) -> list[Module]:
        """The matrices that are wrapped, those of modules_to_save not among them. Raises Unsupported where there are none."""
        wanted = self.target_modules if self.target_modules is not None else self.default_targets(anatomy)
        found = targeted(
            anatomy, wanted, self.exclude_modules, self.layers_to_transform, self.layers_pattern, self.embeddings
        )
        found = [module for module in found if not within(module.name, self.modules_to_save or [])]
        if not found:
            raise Unsupported(f"{self.method} has no matrix left: modules_to_save {self.modules_to_save} tunes all its targets whole")
        if not self.conv1d and any(module.kind == "conv1d" for module in found):
            raise Unsupported(self._no_conv1d(anatomy.model_type))
        return found

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """The fields' values, the targets by their whole names."""
        targets = self.targets(attachment.anatomy)
        asked = ("exclude_modules", "layers_to_transform", "layers_pattern")
        values = {name: value for name, value in super().peft_values(attachment).items() if name not in asked}
        if "fan_in_fan_out" in config_fields(self.peft_class):
            values.setdefault("fan_in_fan_out", any(module.kind == "conv1d" for module in targets))
        return values | {"target_modules": [module.name for module in targets]}

    def merged(self, model: Any) -> Any:
        """PEFT's merge_and_unload; raises Unsupported for one of two tied embeddings: merging would change the other too."""
        base = model.get_base_model()
        both = (base.get_input_embeddings(), base.get_output_embeddings())
        if base.config.tie_word_embeddings and any(hasattr(module, "base_layer") for module in both):
            raise Unsupported(f"{self.method} on tied embeddings cannot be merged: input and output share one weight")
        return super().merged(model)

    def _no_conv1d(self, model_type: str) -> str:
        return f"{self.method} cannot wrap {model_type}'s Conv1D weights: PEFT's {self.peft_class} serves torch's Linear"


def check_rank(rank: int, module: Module, what: str) -> None:
    """Raises Unsupported for a rank that no update of the matrix' size can have."""
    if rank > min(module.in_features, module.out_features):
        raise Unsupported(f"{what} {rank} is larger than the matrix {module.name} ({module.out_features} x {module.in_features})")


def rank_of(module: Module, rank: int, rank_pattern: Mapping[str, int] | None) -> int:
    """The module's own rank: PEFT takes the first pattern that its name ends with, `rank` where none fits."""
    patterns = rank_pattern or {}
    return next((own for pattern, own in patterns.items() if re.match(rf"(.*\.)?({pattern})$", module.name)), rank)


def largest_rank(modules: list[Module]) -> int:
    """The largest rank that all of these matrices can have."""
    return min(min(module.in_features, module.out_features) for module in modules)


def rank_trouble(rank: int, model: ModelFacts | None) -> str | None:
    """Why that rank is too large for the model by its facts alone, or None."""
    if model is not None and model.hidden_size is not None and rank > model.hidden_size:
        return f"rank {rank} is larger than the model's hidden size {model.hidden_size}"
    return None
