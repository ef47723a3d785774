"""Our tuner: a model with the parts that a PeltConfig gives to its modules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from peft.tuners.tuners_utils import BaseTuner
from torch import nn

from harness.methods.tuners.adapter import AdapterLayer, InputTap, Wire
from harness.methods.tuners.bottleneck import SharedRule, new_rule
from harness.methods.tuners.config import PeltConfig, Role
from harness.methods.tuners.layer import PartLayer, PeltLayer
from harness.methods.tuners.low_rank import LowRankLayer
from harness.methods.tuners.norm import NormLayer
from harness.methods.tuners.prefix import PrefixLayer, prefix_layer

LAYERS: dict[Role, type[PeltLayer]] = {"adapter": AdapterLayer, "adapter_input": InputTap, "norm": NormLayer, "lora": LowRankLayer}


class PeltModel(BaseTuner):
    """A PEFT tuner whose parts are adapters, tuned norms, prefixes and LoRA; see PeltConfig.

    pelt_rules: what the Kronecker products of one adapter name share.
    """

    uses_shared_state = True
    prefix = "pelt_"
    tuner_layer_cls = PartLayer
    target_module_mapping: dict[str, list[str]] = {}

    def _pre_injection_hook(self, model: nn.Module, config: PeltConfig, adapter_name: str) -> None:
        self.pelt_rules = nn.ParameterDict()
        self._wires: dict[tuple[str, str], Wire] = {}

    def _prepare_adapter_config(self, peft_config: PeltConfig, model_config: dict[str, Any]) -> PeltConfig:
        return peft_config

    def _prepare_model(self, peft_config: PeltConfig, model: nn.Module) -> None:
        """Raises ValueError for a name that the model does not have, before anything is changed."""
        missing = set(peft_config.roles) - {name for name, _ in model.named_modules()}
        if missing:
            raise ValueError(f"the model has no module {sorted(missing)[0]}, nor {len(missing) - 1} others of those named")

    @staticmethod
    def _check_target_module_exists(peft_config: PeltConfig, key: str) -> bool:
        return key in peft_config.roles

    def _create_and_replace(
        self, peft_config: PeltConfig, adapter_name: str, target: nn.Module, target_name: str, parent: nn.Module, current_key: str
    ) -> None:
        role = peft_config.roles[current_key]
        if role == "prefix":
            prefix_layer(target, current_key, self.model).add(adapter_name, peft_config, current_key, self)
            return
        kind = LAYERS[role]
        if isinstance(target, PeltLayer) and not isinstance(target, kind):
            raise ValueError(f"{current_key} is a {type(target).__name__} of another adapter and cannot be a {kind.__name__} as well")
        layer = target if isinstance(target, PeltLayer) else kind(target)
        layer.add(adapter_name, peft_config, current_key, self)
        self._replace_module(parent, target_name, layer, target)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        """PEFT's would copy the wrapped module's weights by their usual names; ours is never looked into."""
        setattr(parent, child_name, new_module)

    def wrapped(self, name: str) -> nn.Module:
        """The base model's own module of that name, whatever wraps it."""
        module = self.model.get_submodule(name)
        base: nn.Module = module.get_base_layer() if isinstance(module, PeltLayer) else module
        return base

    def wire(self, adapter_name: str, reads: str) -> Wire:
        """The wire from the module `reads` to the adapter that reads its input, the same for both ends."""
        return self._wires.setdefault((adapter_name, reads), Wire())

    def rule(self, adapter_name: str, config: PeltConfig) -> SharedRule | None:
        """What the adapters of that name share, made by the first that asks; None where they share nothing."""
        if config.hypercomplex_division is None:
            return None
        if adapter_name not in self.pelt_rules:
            self.pelt_rules[adapter_name] = new_rule(config.hypercomplex_division, self.model.device)
        return SharedRule(self.pelt_rules, adapter_name)

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """PEFT's, for what the adapters share too."""
        super().set_adapter(adapter_name, inference_mode=inference_mode)
        active = [adapter_name] if isinstance(adapter_name, str) else adapter_name
        for name, rule in self.pelt_rules.items():
            rule.requires_grad_(name in active and not inference_mode)

    def set_requires_grad(self, adapter_names: str | Sequence[str], requires_grad: bool = True) -> None:
        """PEFT's, for what the adapters share too."""
        super().set_requires_grad(adapter_names, requires_grad=requires_grad)
        for name in [adapter_names] if isinstance(adapter_names, str) else adapter_names:
            if name in self.pelt_rules:
                self.pelt_rules[name].requires_grad_(requires_grad)

    def delete_adapter(self, adapter_name: str) -> None:
        """PEFT's, for what the adapters share and for prefixes too: PEFT passes over a layer with our prefix in its own name."""
        super().delete_adapter(adapter_name)
        left: list[str] = []
        for layer in self.model.modules():
            if isinstance(layer, PartLayer):
                layer.delete_adapter(adapter_name)
                left = left or layer.active_adapters  # one that only the deleted adapter had is left with none
        self.active_adapter = left
        if adapter_name in self.pelt_rules:
            del self.pelt_rules[adapter_name]

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        """PEFT's looks for the name at the key's end; a part of ours is a module of several levels below it."""
        return re.sub(rf"(\.{cls.prefix}\w+)\.{re.escape(adapter_name)}(?=\.|$)", r"\1", key)

    def unload(self) -> nn.Module:
        """PEFT's, for prefixes too, which wrap nothing."""
        for layer in [module for module in self.model.modules() if isinstance(module, PrefixLayer)]:
            layer.remove()
        base: nn.Module = super().unload()
        return base

    def _check_merge_allowed(self) -> None:
        """Raises NotImplementedError: a non-linear part cannot be folded into a matrix."""
        raise NotImplementedError("adapters, prefixes and gates are not linear in their input: they cannot be merged")
