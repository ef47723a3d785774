"""The new task head, which every method tunes: kept in float32, whatever the base is stored in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.methods.base import Attachment

if TYPE_CHECKING:
    import torch

NOTE = "the new task head is tuned in float32 over a {dtype} base: in 16 bit, small steps would be rounded away"


def tune_in_float32(head: torch.nn.Module, attachment: Attachment) -> bool:
    """Casts a head and whatever it reads to float32, as PEFT does on quantized bases only; whether there was need to.

    Otherwise a head would learn with another precision beside bfloat16 weights than beside 4-bit ones, and schemes
    would be compared by that. A head that is in float32 already stays as it is.
    """
    import torch

    dtypes = {parameter.dtype for parameter in head.parameters()} - {torch.float32}
    if not dtypes:
        return False
    head.float()
    head.register_forward_pre_hook(_in_float32)
    note = NOTE.format(dtype=str(dtypes.pop()).removeprefix("torch."))
    if note not in attachment.notes:
        attachment.notes.append(note)
    return True


def _in_float32(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    import torch

    return tuple(value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value for value in inputs)
