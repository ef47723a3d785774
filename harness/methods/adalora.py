"""AdaLoRA (Zhang et al. 2023, arXiv 2303.10512) through PEFT, its schedule wired to the real number of training steps."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import model_validator

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import METHODS, Attachment, SizedMethod
from harness.methods.matrices import MatrixMethod, check_rank, largest_rank, rank_trouble
from harness.methods.peft_model import prepared, with_saved_head
from harness.methods.targets import Modules, part_names, saved_whole, tuned_biases
from harness.models.anatomy import Anatomy, Module
from harness.models.families import Part
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FEWEST = 2  # PEFT scores triplets from the step before the one at which it fixes the ranks


@METHODS.register("adalora")
class AdaLora(SizedMethod, MatrixMethod):
    """The update is P diag(E) Q; its triplets compete, over all matrices, for a rank budget that falls while it trains.

    Trainable parameters: sum over target modules of init_r (in + out + 1): a triplet that has lost stays as zeros, so
    that the number of tensors never changes. After training target_r triplets a matrix are left on average.
    Defaults are the paper's: every matrix of the layers, init_r of 1.5 target_r (section 4), beta 0.85, an
    orthogonality term of 0.1, and shares of the steps before and after the budget falls as in its GLUE runs
    (appendix: 9 to 18 % and 44 to 58 %).
    """

    merges: ClassVar[bool] = True
    config_class: ClassVar[str] = "AdaLoraConfig"
    knob: ClassVar[str] = "target_r"

    target_r: int = identity(8, ge=1, description="average rank of a matrix after training")
    init_r: int | None = identity(None, ge=2, description="rank of every matrix before; null: 1.5 target_r, rounded up")
    tinit: float = identity(0.15, ge=0, description="steps at full rank first; below 1: a share of all steps")
    tfinal: float = identity(0.5, ge=0, description="steps at the final ranks last; below 1: a share of all steps")
    deltaT: int = identity(1, ge=1, description="steps between two allocations of the budget")
    beta1: float = identity(0.85, gt=0, lt=1, description="smoothing of the sensitivity")
    beta2: float = identity(0.85, gt=0, lt=1, description="smoothing of its uncertainty")
    orth_reg_weight: float = identity(0.1, ge=0, description="weight of the term in the loss that keeps P and Q orthogonal")
    bias: Literal["none", "all", "lora_only"] = identity("none", description="which biases are tuned too")
    target_modules: Modules = identity(None, description="module names, a regular expression, all-linear, or null: every matrix of the layers")

    @property
    def adds_to_loss(self) -> bool:
        """The orthogonality term."""
        return True

    @model_validator(mode="after")
    def _room_for_the_budget(self) -> AdaLora:
        if self.init_r is not None and self.budget is not None:
            raise ValueError("a budget chooses target_r, and init_r follows it: leave init_r out")
        if self.rank <= self.target_r:
            raise ValueError(f"init_r {self.rank} has to be larger than target_r {self.target_r}: ranks are only ever taken away")
        return self

    @property
    def rank(self) -> int:
        """Rank of every matrix before training."""
        return math.ceil(1.5 * self.target_r) if self.init_r is None else self.init_r

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """See MatrixMethod; refuses a rank that no matrix can have."""
        return super().unsupported(model, scheme) or rank_trouble(self.rank, model)

    def default_targets(self, anatomy: Anatomy) -> Modules:
        """Every matrix of the layers, attention and feed-forward."""
        return part_names(anatomy, get_args(Part), self.method)

    def targets(self, anatomy: Anatomy) -> list[Module]:
        """See MatrixMethod.targets; raises Unsupported for an initial rank larger than one of them."""
        found = super().targets(anatomy)
        for module in found:
            check_rank(self.rank, module, "init_r")
        return found

    def largest(self, anatomy: Anatomy) -> int:
        """The largest target rank whose initial rank all targets can have."""
        return max(1, largest_rank(super().targets(anatomy)) * 2 // 3)

    def count(self, anatomy: Anatomy) -> int:
        """Sum over targets of init_r (in + out + 1), with tuned biases and modules tuned whole."""
        return self._at_rank(self.rank, anatomy)

    def budgeted(self, anatomy: Anatomy) -> int:
        """What is left of `count` at the end, at target_r on average: the budget of the paper's tables (section 4)."""
        return self._at_rank(self.target_r, anatomy)

    def _at_rank(self, rank: int, anatomy: Anatomy) -> int:
        targets = self.targets(anatomy)
        triplets = sum(rank * (module.in_features + module.out_features + 1) for module in targets)
        return triplets + tuned_biases(anatomy, targets, self.bias) + saved_whole(anatomy, self.modules_to_save)

    def schedule(self, steps: int | None) -> tuple[int, int]:
        """tinit and tfinal in steps. Raises Unsupported where they leave no step in between to take ranks away."""
        if steps is None:
            raise Unsupported("adalora takes ranks away as it trains: it needs to know the number of training steps")
        first, last = (round(share * steps) if share < 1 else int(share) for share in (self.tinit, self.tfinal))
        if steps - last < max(first + 1, FEWEST):
            raise Unsupported(
                f"adalora takes ranks away between tinit and tfinal, and {steps} training steps leave too few in between: the first {first} "
                f"(tinit {self.tinit:g}) and the last {last} (tfinal {self.tfinal:g}) keep them; train longer, or lower the two"
            )
        return first, last

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """AdaLoraConfig's values, its schedule in steps of this cell."""
        first, last = self.schedule(attachment.steps)
        return super().peft_values(attachment) | {
            "init_r": self.rank, "total_step": attachment.steps, "tinit": first, "tfinal": last,
        }  # fmt: skip

    def reload(self, model: PreTrainedModel, folder: Path, attachment: Attachment) -> Any:
        """PEFT's from_pretrained; trainable, because PEFT's AdaLoRA computes no loss otherwise."""
        import peft

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The following rank_pattern keys")  # PEFT takes the masks for LoRA's patterns
            again = peft.PeftModel.from_pretrained(prepared(model, attachment), str(folder), is_trainable=True)
        return with_saved_head(again, folder, attachment)

    def save(self, model: Any, folder: Path) -> None:
        """See PeftMethod.save; matrices that were left without a rank are saved empty."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LoRA tensor.* have invalid shape")  # PEFT takes empty ones for lost shards
            super().save(model, folder)

    def after_step(self, model: Any, step: int) -> None:
        """Takes the step's gradients into the triplets' importance, and their ranks away as the schedule says."""
        model.base_model.update_and_allocate(step)

    def kept(self, model: Any) -> Callable[[], None]:
        """The masks too: they say which triplets are saved."""
        put_back, config = super().kept(model), model.peft_config[model.active_adapter]
        masks = copy.deepcopy(config.rank_pattern)

        def put_all_back() -> None:
            put_back()
            config.rank_pattern = masks

        return put_all_back

    def rank_allocation(self, model: Any) -> dict[str, int] | None:
        """Triplets left in every matrix, by the matrix' name in the base model; None before any was taken away."""
        masks = model.peft_config[model.active_adapter].rank_pattern
        return None if masks is None else {name.partition(".lora_E")[0]: sum(mask) for name, mask in masks.items()}
