"""The adapter itself: down to a few dimensions, a non-linearity, and up again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from transformers.activations import ACT2FN

from harness.methods.tuners.config import PeltConfig

HOULSBY_STD = 1e-2  # Houlsby et al. 2019, sec. 3.6: performance is robust below it
BERT_STD = 0.02  # BERT's initializer_range, which AdapterHub's Pfeiffer adapters take
RULE_STD = 1e-4  # phm_init_range of the Compacter paper's runs


class Bottleneck(nn.Module):
    """s * up(act(down(x))), of x (..., inputs), as (..., outputs), in the dtype of its own weights.

    Its dropout is on the bottleneck (He et al. 2021). The caller adds it to a module's output.
    """

    def __init__(self, inputs: int, outputs: int, config: PeltConfig, rule: SharedRule | None) -> None:
        """rule: the factors that all adapters share, None for plain matrices."""
        super().__init__()
        self.down: nn.Linear | KroneckerLinear
        self.up: nn.Linear | KroneckerLinear
        if rule is None:
            self.down, self.up = nn.Linear(inputs, config.bottleneck), nn.Linear(config.bottleneck, outputs)
            initialise(self.down, self.up, config.adapter_init)
        else:
            self.down = KroneckerLinear(inputs, config.bottleneck, config.phm_rank, rule)
            self.up = KroneckerLinear(config.bottleneck, outputs, config.phm_rank, rule)
        self.activation = ACT2FN[config.non_linearity]
        self.dropout = nn.Dropout(config.adapter_dropout)
        self.scale = config.adapter_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The change of an output."""
        narrow = self.activation(self.down(x.to(self.down.bias.dtype)))
        wide: torch.Tensor = self.up(self.dropout(narrow))
        return wide if self.scale == 1 else self.scale * wide


def initialise(down: nn.Linear, up: nn.Linear, kind: str) -> None:
    """An adapter near the identity, biases zero.

    houlsby: a normal of std 1e-2, cut at two std (Houlsby et al. 2019, sec. 3.6). bert: a normal of std 0.02
    (AdapterHub). lora: Kaiming-uniform down, zero up (He et al. 2021, as in LoRA).
    """
    for linear in (down, up):
        nn.init.zeros_(linear.bias)
        if kind == "houlsby":
            nn.init.trunc_normal_(linear.weight, std=HOULSBY_STD, a=-2 * HOULSBY_STD, b=2 * HOULSBY_STD)
        elif kind == "bert":
            nn.init.normal_(linear.weight, std=BERT_STD)
    if kind == "lora":
        nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
        nn.init.zeros_(up.weight)


@dataclass
class SharedRule:
    """The n matrices A_i (n x n) of one adapter name, shared by all its Kronecker products.

    parameters: the tuner's, by adapter name. No module of an adapter, so that it is saved and counted once.
    """

    parameters: nn.ParameterDict
    adapter_name: str

    @property
    def matrices(self) -> nn.Parameter:
        """(n, n, n)"""
        return self.parameters[self.adapter_name]


def new_rule(division: int, device: torch.device) -> nn.Parameter:
    """Matrices (n, n, n) near zero, which makes every product near zero and every adapter near the identity."""
    return nn.Parameter(torch.empty(division, division, division, device=device).normal_(std=RULE_STD))


class KroneckerLinear(nn.Module):
    """x W + b with W = sum over i of A_i (x) (s_i t_i): Compacter's low-rank hypercomplex layer.

    A_i (n x n) are shared, s_i (inputs/n x rank) and t_i (rank x outputs/n) its own.
    Source: Karimi Mahabadi et al. 2021 (arXiv 2106.04647), the LPHM layer; s and t Glorot-uniform as in the paper's code.
    """

    def __init__(self, inputs: int, outputs: int, rank: int, rule: SharedRule) -> None:
        super().__init__()
        n = rule.matrices.shape[0]
        self.rule = rule
        self.left = nn.Parameter(torch.empty(n, inputs // n, rank))
        self.right = nn.Parameter(torch.empty(n, rank, outputs // n))
        self.bias = nn.Parameter(torch.zeros(outputs))
        for factor in (*self.left.data, *self.right.data):
            nn.init.xavier_uniform_(factor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) -> (..., outputs)"""
        shared = self.rule.matrices.to(self.left)
        # Kronecker product: entry (a, b) of A_i times the whole block s_i t_i
        weight = torch.einsum("nab,nir,nro->aibo", shared, self.left, self.right)
        return nn.functional.linear(x, weight.flatten(2).flatten(0, 1).T, self.bias)
