"""Exact match and F1 over a split, and over its answerable and unanswerable questions apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.records.schema import Metric
from harness.tasks.benchmark import metric
from harness.tasks.statistics import proportion_stderr


def reading_metrics(scores: Sequence[tuple[float, float]], answerable: Sequence[bool], split: str, protocol: str) -> list[Metric]:
    """`exact_match` and `f1_tokens` of (exact match, F1) per question, all in 0..1; where some questions have no answer, also of
    those that have one (`exact_match:answerable`) and of those that have none (`exact_match:unanswerable`, the same as their F1)."""
    exact, shared = np.array(scores).T
    has = np.array(answerable)
    found = [_exact("", exact, split, protocol), _shared("", shared, split, protocol)]
    if has.any() and not has.all():
        found += [_exact(":answerable", exact[has], split, protocol), _shared(":answerable", shared[has], split, protocol)]
    if not has.all():
        found.append(_exact(":unanswerable", exact[~has], split, protocol))
    return found


def _exact(part: str, values: np.ndarray, split: str, protocol: str) -> Metric:
    share = float(values.mean())
    error = proportion_stderr(share, len(values))
    return metric(f"exact_match{part}", share, stderr=error, n=len(values), split=split, protocol=protocol, items=values.tolist())


def _shared(part: str, values: np.ndarray, split: str, protocol: str) -> Metric:
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return metric(f"f1_tokens{part}", float(values.mean()), stderr=error, n=len(values), split=split, protocol=protocol, items=values.tolist())
