"""What papers call a cell's scheme: `gptq-4bit-g128-reorder`, `rtn-3bit`, `fp4-e2m1`, `bnb-nf4-dq`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.analysis.columns import Row


def scheme_names(row: Row) -> set[str]:
    """Every name, in lower case.

    A group size is part of it where there are groups (`-g128`; rows quantized whole have none), and so are act-order
    (`-reorder`) and double quantization (`-dq`). A simulated scheme is called after its data type; integers in
    groups also `rtn`, as round-to-nearest is what they are; with channels kept in 16 bit it is `salient`.
    """
    config: Mapping[str, Any] = row.record.cell.config.get("scheme", {})
    scheme = str(config.get("scheme", ""))
    if scheme == "simulated":
        return _simulated(config)
    if config.get("double_quant") and not scheme.endswith("-dq"):
        scheme += "-dq"
    name = scheme + _group(config) + ("-reorder" if config.get("desc_act") else "")
    return {name.casefold(), name.removeprefix("bnb-").casefold()}


def scheme_states(row: Row) -> dict[str, Any]:
    """What else places a scheme in a paper's table: which channels are kept, and how many of a hundred."""
    salient = row.record.cell.config.get("scheme", {}).get("salient") or {}
    return {name: salient.get(name) for name in ("select", "percent")}


def _simulated(config: Mapping[str, Any]) -> set[str]:
    data_type = str(config.get("data_type", ""))
    if config.get("salient"):
        return {"salient"}
    names = {data_type + ("-dq" if config.get("double_quant") else "")}
    if data_type.startswith("int"):
        names.add(f"rtn-{data_type.removeprefix('int')}bit{_group(config)}")
    return {name.casefold() for name in names}


def _group(config: Mapping[str, Any]) -> str:
    """Of integer grids only: bitsandbytes' blocks are part of what its names mean."""
    size = config.get("group_size")
    return f"-g{size}" if isinstance(size, int) and size > 0 else ""
