"""Which of a model's matrices a PEFT configuration attaches to: PEFT's own rules of matching names, over an anatomy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.errors import Unsupported
from harness.models.anatomy import Anatomy, Module
from harness.models.families import FAMILIES, Part

Modules = list[str] | str | None


def targeted(
    anatomy: Anatomy,
    target_modules: Modules,
    exclude_modules: Modules = None,
    layers_to_transform: list[int] | int | None = None,
    layers_pattern: Modules = None,
    embeddings: bool = False,
) -> list[Module]:
    """The matrices that PEFT would wrap, the new task head never among them.

    target_modules: a list of names (whole, or endings after a dot), a regular expression for whole names,
    `all-linear` (every matrix but the output embeddings), or null: query and value of the family.
    layers_pattern: the layer lists that layers_to_transform counts in, any where null. embeddings: whether input
    embeddings can be named too. Raises Unsupported where nothing is found, or the family is not known.
    """
    if target_modules is None:
        target_modules = family_targets(anatomy.model_type)
    layers = [layers_to_transform] if isinstance(layers_to_transform, int) else layers_to_transform
    if target_modules == "all-linear":
        found = [module for module in anatomy.modules if module.is_matrix and module.name != anatomy.output]
    else:
        kinds = ("linear", "conv1d", "embedding") if embeddings else ("linear", "conv1d")
        found = [module for module in anatomy.modules if module.kind in kinds and matches(module.name, target_modules)]
    found = [module for module in found if not module.in_head and not matches(module.name, exclude_modules or [])]
    if layers is not None:
        found = [module for module in found if module.layer in layers and _in_list(module.name, layers_pattern)]
    if not found:
        raise Unsupported(f"target_modules {target_modules} finds no matrix in a {anatomy.model_type} model")
    return found


def matches(name: str, wanted: list[str] | str) -> bool:
    """PEFT's rule: a list holds whole names or endings after a dot; text is a regular expression for the whole name."""
    if isinstance(wanted, str):
        return re.fullmatch(wanted, name) is not None
    return any(name == ending or name.endswith(f".{ending}") for ending in wanted)


def within(name: str, modules: list[str]) -> bool:
    """PEFT's rule for modules_to_save: the module is one of these, or lies in one."""
    return any(re.match(rf"(^|.*\.){module}($|\..*)", name) for module in modules)


def saved_whole(anatomy: Anatomy, modules_to_save: list[str] | None) -> int:
    """Parameters of the modules that are tuned whole beside the task head: all in or below one whose name ends like that, PEFT's rule."""
    endings = tuple(modules_to_save or [])
    found = (module for module in anatomy.modules if not module.in_head and any(path.endswith(endings) for path in _paths(module.name)))
    return sum(module.parameters for module in found) if endings else 0


def tuned_biases(anatomy: Anatomy, targets: list[Module], bias: str) -> int:
    """Parameters in the biases that are tuned too: none, all of the model's, or those of the targets (`lora_only`, `vera_only`)."""
    if bias == "none":
        return 0
    return anatomy.biases if bias == "all" else sum(module.biases for module in targets)


def _paths(name: str) -> list[str]:
    """The module's name and those of all it lies in."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _in_list(name: str, layers_pattern: Modules) -> bool:
    """Whether the module's layer is counted in a list of that name."""
    patterns = [layers_pattern] if isinstance(layers_pattern, str) else layers_pattern
    return not patterns or any(re.match(rf"(?:^|.*?\.){pattern}\.\d+\.", name) for pattern in patterns)


def family_targets(model_type: str) -> list[str]:
    """Query and value of the family, or its fused projection; raises Unsupported for a family that is not known."""
    if model_type not in FAMILIES:
        raise Unsupported(f"no default target modules for {model_type}; name them: target_modules: [...] or all-linear")
    return list(FAMILIES[model_type].lora_targets)


def part_names(anatomy: Anatomy, parts: Sequence[Part], what: str) -> list[str]:
    """Whole names of the matrices that play these parts; raises Unsupported, naming `what` needs them, where there are none."""
    names = [module.name for module in anatomy.matrices(*parts)]
    if not names:
        raise Unsupported(f"{what} attaches to {' and '.join(parts)}, which are not known of {anatomy.model_type} models")
    return names
