"""How large a loaded model is: parameters counted unpacked, bytes counted as stored."""

from __future__ import annotations

import math
from typing import Any

from harness.records.schema import Parameters


def count_parameters(model: Any, added_to: int | None = None) -> Parameters:
    """Total and trainable parameters; packed 4-bit weights are counted as the weights that they hold.

    added_to: the total before a method was attached; None: nothing was added.
    """
    total = trainable = 0
    for parameter in model.parameters():
        count = numel(parameter)
        total += count
        trainable += count if parameter.requires_grad else 0
    return Parameters(
        total=total,
        trainable=trainable,
        trainable_percent=100.0 * trainable / total if total else 0.0,
        added=0 if added_to is None else total - added_to,
    )


def model_bytes(model: Any) -> int:
    """Bytes of all parameters and buffers as they are stored, quantization constants included."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(stored_bytes(tensor) for tensor in tensors)


def stored_bytes(tensor: Any) -> int:
    """Bytes of one parameter or buffer as it is stored, with the constants that hang on it."""
    return int(tensor.nbytes) + _constants(tensor)


def numel(parameter: Any) -> int:
    """Weights that a parameter holds, unpacked."""
    state = getattr(parameter, "quant_state", None)  # bitsandbytes 4 bit
    return math.prod(state.shape) if state is not None else parameter.numel()


def _constants(tensor: Any) -> int:
    """Bytes of bitsandbytes' constants, which hang on the parameter: absmax, code and their own when nested; int8's row scales."""
    scales = getattr(tensor, "SCB", None)
    size = scales.nbytes if scales is not None else 0
    state = getattr(tensor, "quant_state", None)
    while state is not None:
        size += state.absmax.nbytes + (state.code.nbytes if state.code is not None else 0)
        offset = getattr(state, "offset", None)
        size += offset.nbytes if offset is not None else 0
        state = getattr(state, "state2", None)
    return size
