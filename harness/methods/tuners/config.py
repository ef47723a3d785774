"""The configuration of our own tuner: which modules of a model get which part.

He et al. 2021, "Towards a unified view of parameter-efficient transfer learning" (arXiv 2110.04366), sec. 3: adapters,
prefixes and LoRA are one design, a change of some module's output. So they are one tuner, and a method is a
configuration of it. Modules are named in full: a name never matches another module by its ending.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from peft import PeftConfig

Role: TypeAlias = Literal["adapter", "adapter_input", "norm", "prefix", "lora"]


class PeltType(enum.StrEnum):
    """The type by which PEFT knows our tuner, beside its own enum PeftType."""

    PELT = "PELT"


PELT = PeltType.PELT


@dataclass
class PeltConfig(PeftConfig):
    """Which modules get which part, and the size of the parts. Values are plain JSON.

    adapter_modules: an adapter changes the output of each. adapter_inputs: for each of them, in the same order, the
    module whose input its adapter reads (parallel form); null: an adapter reads the output that it changes
    (sequential form). bottleneck: width of an adapter. non_linearity: transformers' name of it. adapter_scale: factor
    of an adapter's change. adapter_dropout: on the bottleneck. adapter_init: see harness.methods.tuners.bottleneck.
    hypercomplex_division: n, where an adapter's matrices are sums of n Kronecker products, whose n x n factors all
    adapters share; phm_rank: rank of the other factors. norm_modules: norms that are tuned whole.
    prefix_modules: attention modules whose keys and values get a prefix. prefix_widths: for each of them, in the same
    order, the width of its keys. prefix_length: positions of a prefix. prefix_hidden: width of the MLP that it comes
    from, null without one. prefix_dropout: on its keys and values. prefix_std: of its table, or of what the MLP gets.
    lora_modules, lora_r, lora_alpha, lora_dropout: LoRA's.
    gates: every part is gated by its input (UniPELT). modules_to_save: PEFT's, tuned whole, matched by ending.
    """

    adapter_modules: list[str] = field(default_factory=list)
    adapter_inputs: list[str] | None = None
    bottleneck: int = 64
    non_linearity: str = "relu"
    adapter_scale: float = 1.0
    adapter_dropout: float = 0.0
    adapter_init: Literal["houlsby", "bert", "lora"] = "houlsby"
    hypercomplex_division: int | None = None
    phm_rank: int = 1
    norm_modules: list[str] = field(default_factory=list)
    prefix_modules: list[str] = field(default_factory=list)
    prefix_widths: list[int] = field(default_factory=list)
    prefix_length: int = 0
    prefix_hidden: int | None = None
    prefix_dropout: float = 0.0
    prefix_std: float = 1.0
    lora_modules: list[str] = field(default_factory=list)
    lora_r: int = 8
    lora_alpha: float = 8
    lora_dropout: float = 0.0
    gates: bool = False
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a module with two parts, and for adapters and inputs that do not pair."""
        super().__post_init__()
        self.peft_type = PELT
        if self.adapter_inputs is not None and len(self.adapter_inputs) != len(self.adapter_modules):
            raise ValueError(f"{len(self.adapter_modules)} adapter_modules and {len(self.adapter_inputs)} adapter_inputs: they pair one to one")
        named = [*self.adapter_modules, *(self.adapter_inputs or ()), *self.norm_modules, *self.prefix_modules, *self.lora_modules]
        if len(named) != len(self.roles):
            raise ValueError(f"a module has one part only: {sorted({name for name in named if named.count(name) > 1})}")

    @cached_property
    def roles(self) -> Mapping[str, Role]:
        """Full name of a module -> the part it gets."""
        parts: dict[Role, list[str]] = {
            "adapter": self.adapter_modules,
            "adapter_input": self.adapter_inputs or [],
            "norm": self.norm_modules,
            "prefix": self.prefix_modules,
            "lora": self.lora_modules,
        }
        return {name: role for role, names in parts.items() for name in names}

    @cached_property
    def input_of(self) -> Mapping[str, str]:
        """Name of an adapter's module -> the module whose input it reads; empty in the sequential form."""
        return dict(zip(self.adapter_modules, self.adapter_inputs or (), strict=False))

    @cached_property
    def prefix_width_of(self) -> Mapping[str, int]:
        """Name of an attention module -> the width of its keys."""
        return dict(zip(self.prefix_modules, self.prefix_widths, strict=True))

    @property
    def target_modules(self) -> tuple[str, ...]:
        """All modules that get a part, by the name under which PEFT asks for them."""
        return tuple(self.roles)
