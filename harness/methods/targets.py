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
) -> list[Module]:
    """The matrices that PEFT would wrap, the new task head never among them.

    target_modules: a list of names (whole, or endings after a dot), a regular expression for whole names,
    `all-linear` (every matrix but the output embeddings), or null: query and value of the family.
    Raises Unsupported where nothing is found, or the family is not known.
    """
    if target_modules is None:
        target_modules = family_targets(anatomy.model_type)
    layers = [layers_to_transform] if isinstance(layers_to_transform, int) else layers_to_transform
    candidates = [module for module in anatomy.modules if module.is_matrix and not module.in_head]
    if target_modules == "all-linear":
        found = [module for module in candidates if module.name != anatomy.output]
    else:
        found = [module for module in candidates if matches(module.name, target_modules)]
    found = [module for module in found if not matches(module.name, exclude_modules or []) and (layers is None or module.layer in layers)]
    if not found:
        raise Unsupported(f"target_modules {target_modules} finds no matrix in a {anatomy.model_type} model")
    return found


def matches(name: str, wanted: list[str] | str) -> bool:
    """PEFT's rule: a list holds whole names or endings after a dot; text is a regular expression for the whole name."""
    if isinstance(wanted, str):
        return re.fullmatch(wanted, name) is not None
    return any(name == ending or name.endswith(f".{ending}") for ending in wanted)


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
