"""Quantized weights, kept on disk between runs: an entry is complete or absent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.records.schema import CalibrationSeen, QuantizationCost


@dataclass(frozen=True)
class Quantized:
    """One entry, verified. weights: the folder that the scheme has filled."""

    weights: Path
    calibration: CalibrationSeen | None
    cost: QuantizationCost
