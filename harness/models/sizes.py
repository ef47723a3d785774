"""How large a loaded model is: parameters counted unpacked, bytes counted as stored.

Quantized weights are found by what hangs on a tensor or a module, so that no library is imported that the model does not use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from harness.records.schema import Parameters


def count_parameters(model: Any, added_to: int | None = None) -> Parameters:
    """Total and trainable parameters; packed weights are counted as the weights that they hold.

    added_to: the total before a method was attached; None: nothing was added.
    """
    total = trainable = 0
    for _, parameter, count in counted_parameters(model):
        total += count
        trainable += count if parameter.requires_grad else 0
    return Parameters(
        total=total,
        trainable=trainable,
        trainable_percent=100.0 * trainable / total if total else 0.0,
        added=0 if added_to is None else total - added_to,
    )


def counted_parameters(model: Any) -> Iterator[tuple[str, Any, int]]:
    """Name, parameter and the weights that it holds, of all of a model's parameters; tied ones once."""
    seen: set[int] = set()
    for at, module in model.named_modules():
        if _of_gptqmodel(module):
            held = {GPTQMODEL_WEIGHTS: weights_in(module)} | ({} if module.bias is None else {"bias": module.bias.numel()})
            yield from ((f"{at}.{name}", getattr(module, name), count) for name, count in held.items())
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield f"{at}.{name}" if at else name, parameter, weights_in(module) if name == HQQ_WEIGHTS else numel(parameter)


def model_bytes(model: Any) -> int:
    """Bytes of all parameters and buffers as they are stored, quantization constants included."""
    tensors = [*model.parameters(), *model.buffers()]
    beside = sum(constant.nbytes for module in model.modules() for constant in constants_beside(module))
    return sum(stored_bytes(tensor) for tensor in tensors) + beside


def weights_in(layer: Any) -> int:
    """Weights that a linear layer holds, unpacked."""
    return int(layer.in_features * layer.out_features)


def weight_bytes(layer: Any) -> int:
    """Bytes of a quantized linear layer's packed weights and their constants; its bias is not counted."""
    return sum(int(part.nbytes) for part in weight_tensors(layer))


def weight_tensors(layer: Any) -> Iterator[Any]:
    """The plain tensors that a quantized linear layer's weights are stored as: packed weights and constants."""
    if _of_gptqmodel(layer):
        yield from (tensor for name, tensor in layer.state_dict().items() if name != "bias")
        return
    yield from stored_tensors(layer.get_parameter(HQQ_WEIGHTS if _of_hqq(layer) else "weight"))
    yield from constants_beside(layer)


def stored_bytes(tensor: Any) -> int:
    """Bytes of one parameter or buffer as it is stored, with the constants that hang on it."""
    return sum(int(part.nbytes) for part in stored_tensors(tensor))


def stored_tensors(tensor: Any) -> Iterator[Any]:
    """The plain tensors that a parameter or buffer is stored as: itself and the constants that hang on it.

    A tensor that is made of others (torchao's, quanto's) is stored as those; its own shape and nbytes are those of the
    unpacked weights that it stands for.
    """
    if hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        for name in names:
            yield from stored_tensors(getattr(tensor, name))
        return
    yield tensor
    state = getattr(tensor, "quant_state", None)  # bitsandbytes 4 bit
    while state is not None:
        constants = (state.absmax, state.code, getattr(state, "offset", None))
        yield from (constant for constant in constants if constant is not None)
        state = getattr(state, "state2", None)
    if getattr(tensor, "SCB", None) is not None:  # bitsandbytes int8
        yield tensor.SCB


def constants_beside(module: Any) -> list[Any]:
    """Constants of a layer's weights that it keeps neither in parameters nor on them; empty for most modules.

    hqq's layers keep scales and zeros in a dictionary; bitsandbytes moves int8's scales into the layer at the first product.
    """
    if _of_hqq(module):
        return [value for value in module.meta.values() if hasattr(value, "nbytes")]
    moved = getattr(getattr(module, "state", None), "SCB", None)
    return [] if moved is None or getattr(module.weight, "SCB", None) is not None else [moved]


def numel(parameter: Any) -> int:
    """Weights that a parameter holds, unpacked."""
    state = getattr(parameter, "quant_state", None)  # bitsandbytes 4 bit
    return math.prod(state.shape) if state is not None else parameter.numel()


#: The parameter of hqq's layers that holds the packed weights.
HQQ_WEIGHTS = "W_q"
#: The tensor of gptqmodel's layers (GPTQ, AWQ, RTN) that holds the packed weights: most often a buffer.
GPTQMODEL_WEIGHTS = "qweight"


def _of_hqq(module: Any) -> bool:
    return HQQ_WEIGHTS in module._parameters


def _of_gptqmodel(module: Any) -> bool:
    return GPTQMODEL_WEIGHTS in module._buffers or GPTQMODEL_WEIGHTS in module._parameters
