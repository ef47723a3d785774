"""From log-likelihoods to perplexities and bits, their standard errors, and what each item contributes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """value: None where exp overflows. stderr: None for a single item. items: what each item contributes to the value, to first
    order: their mean is the value and their standard error the value's."""

    value: float | None
    stderr: float | None = None
    items: list[float] | None = None


def perplexity(losses: Sequence[float], units: Sequence[int]) -> Estimate:
    """exp of the loss per unit. losses: negative log-likelihood (nats) of each item; units: how many tokens, words or bytes it has."""
    rate = _rate(losses, units)
    try:
        value = math.exp(rate)
    except OverflowError:
        return Estimate(None)
    return _estimate(value, value, rate, losses, units)


def bits(losses: Sequence[float], units: Sequence[int]) -> Estimate:
    """Loss per unit in bits."""
    rate = _rate(losses, units)
    return _estimate(rate / math.log(2), 1 / math.log(2), rate, losses, units)


def _rate(losses: Sequence[float], units: Sequence[int]) -> float:
    return math.fsum(losses) / sum(units)


def _estimate(value: float, slope: float, rate: float, losses: Sequence[float], units: Sequence[int]) -> Estimate:
    """A ratio of two sums over the items, linearised (delta method; Cochran 1977, "Sampling Techniques", sec. 2.11). slope: the
    value's derivative by the rate. Items are hard or easy for every model alike, so that the differences of two cells' contributions
    spread far less than either's."""
    mean_units = sum(units) / len(units)
    items = [value + slope * (loss - rate * size) / mean_units for loss, size in zip(losses, units, strict=True)]
    if len(items) == 1:
        return Estimate(value, None, items)
    variance = math.fsum((item - value) ** 2 for item in items) / (len(items) - 1)
    return Estimate(value, math.sqrt(variance / len(items)), items)
