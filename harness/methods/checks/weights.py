"""Weights bit by bit: what training has changed, and what it must not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.models.sizes import constants_beside, stored_tensors

if TYPE_CHECKING:
    import torch


def tuned_digests(model: Any) -> dict[str, str]:
    """By name, a hash of the bytes of every parameter that is tuned."""
    return {name: _digest([parameter]) for name, parameter in model.named_parameters() if parameter.requires_grad}


def frozen_digests(model: Any, base: Sequence[torch.Tensor]) -> dict[str, str]:
    """By name, a hash of the bytes of every weight of the base model that is not tuned. base: its parameters.

    A method may keep further frozen parameters of its own (AdaLoRA counts ranks in one); they are not the base's.
    """
    of_base = set(map(id, base))
    return {
        f"{at}.{name}": _digest(_stored(module, parameter))
        for at, module in model.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
        if id(parameter) in of_base and not parameter.requires_grad
    }


def _stored(module: Any, parameter: torch.Tensor) -> Iterator[torch.Tensor]:
    """All that a weight is stored as: its tensors, and the constants that a library keeps beside a quantized one."""
    yield from stored_tensors(parameter)
    if parameter is not getattr(module, "bias", None):
        yield from constants_beside(module)


def _digest(tensors: Iterable[torch.Tensor]) -> str:
    import torch

    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
