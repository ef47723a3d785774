"""Salient channels: the few input channels of a layer that are kept unquantized. Source: AWQ (arXiv 2306.00978), sec. 3.1 and table 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness.fields import Config, identity

if TYPE_CHECKING:
    import torch


class Salient(Config):
    """How many channels are kept, and by what they are chosen."""

    percent: float = identity(1.0, gt=0, lt=100, description="share of a layer's input channels that are kept; rounded, at least one")
    select: Literal["activation", "weight", "random"] = identity(
        "activation", description="the channels with the largest mean |activation|, with the largest L2 norm of their weights, or random ones"
    )
    seed: int = identity(0, description="of the random choice")

    def kept(self, in_features: int) -> int:
        """How many channels of a layer are kept."""
        return max(1, round(in_features * self.percent / 100))

    def channels(self, weight: torch.Tensor, magnitude: torch.Tensor | None, generator: torch.Generator) -> torch.Tensor:
        """Indices of the kept channels, shape (kept,), on the CPU.

        weight: shape (out_features, in_features). magnitude: mean |activation| of every input channel; needed for `activation`
        only. generator: where random channels are drawn from, on the CPU.
        """
        import torch

        kept = self.kept(weight.shape[1])
        if self.select == "random":
            return torch.randperm(weight.shape[1], generator=generator)[:kept]
        if self.select == "weight":
            magnitude = weight.float().norm(dim=0).cpu()
        assert magnitude is not None, "a choice by activation follows calibration"
        return torch.argsort(magnitude, descending=True, stable=True)[:kept]
