"""Activation-aware scaling: input channels with large activations are scaled up before rounding. Source: AWQ (arXiv 2306.00978), sec. 3.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.fields import Config, identity

if TYPE_CHECKING:
    import torch

    from harness.quantization.activations import Inputs
    from harness.quantization.rounding import Rounding

_SMALLEST_SCALE = 1e-4  # AWQ's own code: a channel that is never active would be divided by zero


class ScalingSearch(Config):
    """The search for the exponent of the scales, layer by layer."""

    grid: int = identity(20, ge=2, description="exponents tried, evenly spaced from 0 (no scaling) to 1")
    tokens: int = identity(2048, ge=1, description="inputs of each layer that the output error is measured on")

    def rounded(self, weight: torch.Tensor, rounding: Rounding, inputs: Inputs) -> torch.Tensor:
        """The weight Q(W * s) / s, float32, at the scales s = mean|x|^alpha whose output error is smallest.

        weight: shape (out_features, in_features). The error is the sum of squares of X (Q(W * s) / s - W)^T over the kept inputs X.
        The smallest alpha wins a tie, so that scaling that helps nothing is not done.
        """
        import torch

        exact = weight.float()
        kept = torch.cat(inputs.rows).to(exact.device, torch.float32)
        magnitude = inputs.magnitude.to(exact.device, torch.float32)
        best = rounding(exact)
        smallest = _error(kept, best, exact)
        for step in range(1, self.grid):
            scales = _scales(magnitude, step / (self.grid - 1))
            candidate = rounding(exact * scales) / scales
            error = _error(kept, candidate, exact)
            if error < smallest:
                best, smallest = candidate, error
        return best


def _error(inputs: torch.Tensor, rounded: torch.Tensor, exact: torch.Tensor) -> float:
    """Sum of squares of what rounding changes in a layer's outputs."""
    return (inputs @ (rounded - exact).T).square().sum().item()


def _scales(magnitude: torch.Tensor, alpha: float) -> torch.Tensor:
    """mean|x|^alpha, of every input channel, around 1: a constant factor has no effect but on the range of the numbers."""
    scales = magnitude.pow(alpha).clamp(min=_SMALLEST_SCALE)
    centred: torch.Tensor = scales / (scales.max() * scales.min()).sqrt()
    return centred
