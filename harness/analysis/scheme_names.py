"""What papers call a cell's scheme: `gptq-4bit-g128-reorder`, `rtn-3bit`, `fp4-e2m1`, `bnb-nf4-dq`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.analysis.columns import Row


def scheme_names(row: Row) -> set[str]:
    """Every name, in lower case.

    A group size is part of it where there are groups (`-g128`; rows quantized whole have none), and so are act-order
    (`-reorder`) and double quantization (`-dq`). A simulated scheme is called after its data type; integers in
    groups also `rtn`, as round-to-nearest is what they are, and `awq` where their scales were searched; with channels kept in 16 bit it is `salient`.
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
    """What else places a scheme in a paper's table: which channels are kept and how many of a hundred; what it was calibrated on and how much."""
    config: Mapping[str, Any] = row.record.cell.config.get("scheme", {})
    salient, calibration = config.get("salient") or {}, config.get("calibration") or {}
    states = {name: salient.get(name) for name in ("select", "percent")}
    return states | ({"calibration": calibration.get("set"), "calibration_samples": calibration.get("samples")} if calibration else {})


def _simulated(config: Mapping[str, Any]) -> set[str]:
    data_type = str(config.get("data_type", ""))
    if config.get("salient"):
        return {"salient"}
    grid = f"-{data_type.removeprefix('int')}bit{_group(config)}" if data_type.startswith("int") else None
    if config.get("scaling_search") is not None:  # no plain rounding any more, and of other data types no paper's
        return set() if grid is None else {f"awq{grid}"}
    names = {data_type + ("-dq" if config.get("double_quant") else "")}
    if grid is not None:
        names.add(f"rtn{grid}")
    return {name.casefold() for name in names}


def _group(config: Mapping[str, Any]) -> str:
    """Of integer grids only: bitsandbytes' blocks are part of what its names mean."""
    size = config.get("group_size")
    return f"-g{size}" if isinstance(size, int) and size > 0 else ""
