"""Where a method that shares ranks out has put them: rank by layer and matrix, as figure 3 of the AdaLoRA paper shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.analysis.columns import Row, axis_words
from harness.analysis.groups import AxisOrder, axes_of, group_by

_LAYER = re.compile(r"^(?P<above>.*?)\b(?P<layer>\d+)\.(?P<matrix>.+)$")


@dataclass(frozen=True)
class RankMap:
    """The ranks of one configuration, means over its seeds.

    name: the configuration in words. layers: rows from the input up, of an encoder-decoder the encoder's first.
    matrices: columns. ranks: (layer, matrix) -> rank; a pair that the method did not touch is absent.
    """

    name: str
    layers: tuple[str, ...]
    matrices: tuple[str, ...]
    ranks: Mapping[tuple[str, str], float]
    seeds: int


def rank_maps(rows: Sequence[Row], order: AxisOrder) -> list[RankMap]:
    """One map for every configuration whose records tell ranks, in the order of the report."""
    told = [row for row in rows if row.ok and row.record.training and row.record.training.rank_allocation]
    axes = [axis for axis in axes_of(told) if axis != "seed"]
    groups = group_by(order.sort(told, [*axes, "seed"]), axes)
    return [_map(" / ".join(axis_words(*pair) for pair in zip(axes, place, strict=True)), group) for place, group in groups.items()]


def _map(name: str, rows: Sequence[Row]) -> RankMap:
    found: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        allocation = row.record.training.rank_allocation if row.record.training else None
        for module, rank in (allocation or {}).items():
            found.setdefault(_place(module), []).append(rank)
    ranks = {place: fmean(values) for place, values in found.items()}
    layers = sorted({layer for layer, _ in ranks}, key=_layer_order)
    return RankMap(name, tuple(layers), tuple(dict.fromkeys(matrix for _, matrix in ranks)), ranks, len(rows))


def _place(module: str) -> tuple[str, str]:
    """(layer, matrix) of a module's name: `bert.encoder.layer.3.attention.self.query` -> ("3", "query").

    The decoder's layers of an encoder-decoder are told from the encoder's; matrices of one name in different
    blocks (self- and cross-attention) keep as much of their path as tells them apart.
    """
    match = _LAYER.match(module)
    if match is None:
        return "–", module
    stack = "decoder " if re.search(r"\bdecoder\.(block|layers)\.$", match["above"]) else ""
    *block, matrix = [part for part in match["matrix"].split(".") if not part.isdigit()]
    within = next((part for part in block if re.search(r"enc.*attn|EncDecAttention", part)), None)
    return f"{stack}{match['layer']}", f"{within}.{matrix}" if within else _unambiguous(block, matrix)


def _unambiguous(block: Sequence[str], matrix: str) -> str:
    """`dense` and `c_proj` are both in attention and in the feed-forward block: these keep the block's name."""
    return ".".join([*block[-2:], matrix]) if matrix in ("dense", "c_proj") else matrix


def _layer_order(layer: str) -> tuple[str, int]:
    stack, _, number = layer.rpartition(" ")
    return stack, int(number) if number.isdigit() else -1
