"""Quantize: the weights of a stored scheme, once per model, scheme and calibration; every later cell loads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.quantization.base import StoredScheme

if TYPE_CHECKING:
    from harness.quantization.cache import Quantized
    from harness.runs.cell import Life


def due(life: Life) -> bool:
    """Whether the cell's weights are to be quantized first: the scheme stores them, and the cache has none. Else takes the cache's."""
    return isinstance(life.cell.config.scheme.while_tuning, StoredScheme)


def run(life: Life) -> None:
    """Quantizes the cell's model into the cache."""
    raise NotImplementedError


def ready(life: Life) -> Quantized:
    """The cell's quantized weights; `run` or `due` has seen to them."""
    assert life.quantized is not None, "quantize comes first"
    return life.quantized
