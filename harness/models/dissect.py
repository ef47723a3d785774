"""The anatomy of a real model: which modules it has, what part each plays, how large it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness.models.anatomy import Anatomy, Module, ModuleKind
from harness.models.families import FAMILIES, kind_of, stack_of
from harness.models.sizes import counted_parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NORM = re.compile(r"norm", re.IGNORECASE)
_LAYER = re.compile(r"\.(\d+)\.")


def anatomy_of(model: PreTrainedModel, head: list[str]) -> Anatomy:
    """The anatomy of a model with nothing attached yet; its weights may be quantized, or on the meta device.

    head: names of its top-level modules that are a new task head (see harness.models.load.head_modules).
    """
    config = model.config
    kind = kind_of(config.model_type, [type(model).__name__], bool(config.is_encoder_decoder))
    modules = [found for name, module in model.named_modules() if (found := _module(name, module, config.model_type, kind, head))]
    counts = [(name, count) for name, _, count in counted_parameters(model)]
    output = model.get_output_embeddings()
    return Anatomy(
        model_type=config.model_type,
        kind=kind,
        hidden_size=config.hidden_size,
        layers=1 + max((module.layer for module in modules if module.layer is not None), default=-1),
        total=sum(count for _, count in counts),
        head=sum(count for name, count in counts if _within(name, head)),
        biases=sum(count for name, count in counts if name.endswith("bias") and not _within(name, head)),
        output=next((name for name, module in model.named_modules() if output is not None and module is output), None),
        modules=tuple(modules),
    )


def _module(name: str, module: Any, model_type: str, kind: str, head: list[str]) -> Module | None:
    sizes = module_sizes(module)
    if sizes is None:
        return None
    module_kind, in_features, out_features = sizes
    layer = _LAYER.search(f".{name}.")
    in_head = _within(name, head)
    family = FAMILIES.get(model_type)
    bias = getattr(module, "bias", None)
    return Module(
        name=name,
        kind=module_kind,
        in_features=in_features,
        out_features=out_features,
        biases=0 if bias is None else bias.numel(),
        part=family.part(name) if family is not None and layer is not None and not in_head else None,
        layer=int(layer[1]) if layer is not None else None,
        stack=stack_of(name, kind),
        in_head=in_head,
    )


def module_sizes(module: Any) -> tuple[ModuleKind, int, int] | None:
    """Kind, in_features and out_features of a module that holds a weight itself; None for all others."""
    import torch
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, Conv1D):
        return "conv1d", module.nx, module.nf
    if isinstance(module, torch.nn.Embedding):
        return "embedding", module.num_embeddings, module.embedding_dim
    if hasattr(module, "in_features") and hasattr(module, "out_features"):
        return "linear", module.in_features, module.out_features
    weight = getattr(module, "weight", None)
    if _NORM.search(type(module).__name__) and weight is not None:
        return "norm", weight.numel(), weight.numel()
    return None


def _within(name: str, head: list[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in head)
