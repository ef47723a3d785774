"""LayerNorm tuning (Zhao et al. 2024, arXiv 2312.11420) through PEFT."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import METHODS, Attachment
from harness.methods.peft_config import PeftConfigMethod
from harness.methods.targets import Modules, matches, saved_whole
from harness.models.anatomy import Anatomy, Module


@METHODS.register("layernorm")
class LayerNorm(PeftConfigMethod):
    """The weights and biases of every norm are tuned, nothing else; RMSNorms have no bias.

    Trainable parameters: sum over norms of their width, twice where they have biases.
    """

    merges: ClassVar[bool] = True
    config_class: ClassVar[str] = "LNTuningConfig"

    target_modules: Modules = identity(None, description="names of norms or a regular expression; null: every norm outside of the task head")
    exclude_modules: Modules = identity(None, description="names of norms or a regular expression that are left alone")
    modules_to_save: list[str] | None = identity(None, description="further modules tuned whole; the task head always is")

    def targets(self, anatomy: Anatomy) -> list[Module]:
        """The norms that are tuned. Raises Unsupported where there are none."""
        found = [module for module in anatomy.norms() if self.target_modules is None or matches(module.name, self.target_modules)]
        found = [module for module in found if not matches(module.name, self.exclude_modules or [])]
        if not found:
            which = "" if self.target_modules is None else f" that target_modules {self.target_modules} finds"
            raise Unsupported(f"{anatomy.model_type} models have no norm with weights{which}")
        return found

    def count(self, anatomy: Anatomy) -> int:
        """Weights and biases of the norms."""
        return sum(module.parameters for module in self.targets(anatomy)) + saved_whole(anatomy, self.modules_to_save)

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """LNTuningConfig's values, the norms by their whole names."""
        values = {name: value for name, value in super().peft_values(attachment).items() if name != "exclude_modules"}
        return values | {"target_modules": [module.name for module in self.targets(attachment.anatomy)]}
