"""The library gptqmodel from outside: what importing it would change, and which models it can quantize."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from functools import cache

from harness.declared import source_tree
from harness.errors import HarnessError

LIBRARIES = ("gptqmodel",)

_SPLIT = "gptqmodel splits gate_up_proj in two, and transformers has it in one"
#: Model types whose checkpoints by gptqmodel transformers does not load back as they were, with the reason.
NOT_LOADED_BACK: Mapping[str, str] = {
    "falcon": "its linear layers are of a class of their own, which transformers' loader of packed weights passes over",
    "glm": _SPLIT,
    "glm4": _SPLIT,
    "gpt2": "transformers draws its c_proj weights before it loads them, and packed ones cannot be drawn",
    "phi3": _SPLIT,
}


def prepare_import() -> None:
    """To be called before gptqmodel is imported: sets environment variables that it would set otherwise, or that it needs.

    It would turn on another CUDA allocator and another order of devices than torch's own, and memory would be measured
    in another way than under schemes that do not import it. On one or two cores its default is a single worker,
    which waits for itself.
    """
    if (os.cpu_count() or 1) <= 2:
        os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")
    os.environ.setdefault("PYTORCH_ALLOC_CONF", os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "backend:native"))
    os.environ.setdefault("CUDA_DEVICE_ORDER", "FASTEST_FIRST")


@cache
def defined_model_types() -> frozenset[str]:
    """config.json model types that the installed gptqmodel has a definition for, read without importing it.

    Raises HarnessError where it is not installed, or keeps its definitions elsewhere.
    """
    found = frozenset(_defined())
    if not found:
        raise HarnessError("the installed gptqmodel has no MODEL_MAP in gptqmodel.models.auto; is this version supported?")
    return found


def _defined() -> Iterator[str]:
    """Keys of `MODEL_MAP = {...}` and of every `MODEL_MAP[...] = ...`."""
    tree = source_tree("gptqmodel.models.auto")
    for node in ast.walk(tree) if tree is not None else ():
        match node:
            case ast.Assign(targets=[ast.Name(id="MODEL_MAP")], value=ast.Dict(keys=keys)):
                yield from (str(key.value) for key in keys if isinstance(key, ast.Constant))
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="MODEL_MAP"), slice=ast.Constant(value=name))]):
                yield str(name)
