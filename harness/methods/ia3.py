"""(IA)^3 (Liu et al. 2022, arXiv 2205.05638) through PEFT: vectors that scale keys, values and feed-forward activations."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import METHODS, Attachment
from harness.methods.matrices import MatrixMethod
from harness.methods.targets import Modules, matches, part_names, saved_whole
from harness.methods.tfew import ChoiceLosses
from harness.models.anatomy import Anatomy


@METHODS.register("ia3")
class Ia3(ChoiceLosses, MatrixMethod):
    """Keys and values are scaled by a tuned vector each, and the feed-forward layer's inner activations by a third.

    Trainable parameters: sum of the outputs of key and value projections and of the inputs of the feed-forward
    layer's last matrix. A projection fused of query, key and value is scaled whole. All vectors start at one.
    """

    merges: ClassVar[bool] = True
    config_class: ClassVar[str] = "IA3Config"

    target_modules: Modules = identity(None, description="module names, a regular expression, all-linear, or null: key, value and the feed-forward layer's last matrix")
    feedforward_modules: Modules = identity(None, description="targets that are scaled on their input instead of their output; null: the feed-forward layer's last matrices")

    def default_targets(self, anatomy: Anatomy) -> Modules:
        """Keys and values, fused ones too, and the feed-forward layer's last matrix."""
        return part_names(anatomy, ("key", "value", "qkv", "ffn_out"), self.method)

    def feedforward(self, anatomy: Anatomy) -> list[str]:
        """Whole names of the targets that are scaled on their input."""
        targets = self.targets(anatomy)
        if self.feedforward_modules is None:
            return [module.name for module in targets if module.part == "ffn_out"]
        found = [module.name for module in targets if matches(module.name, self.feedforward_modules)]
        if self.feedforward_modules and not found:
            raise Unsupported(f"feedforward_modules {self.feedforward_modules} finds none of the targets of ia3")
        return found

    def count(self, anatomy: Anatomy) -> int:
        """Sum over targets of their outputs, of feed-forward ones their inputs."""
        inputs = set(self.feedforward(anatomy))
        sizes = (module.in_features if module.name in inputs else module.out_features for module in self.targets(anatomy))
        return sum(sizes) + saved_whole(anatomy, self.modules_to_save)

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """IA3Config's values, feed-forward targets by their whole names."""
        return super().peft_values(attachment) | {"feedforward_modules": self.feedforward(attachment.anatomy)}
