"""GLUE's metrics: values from scikit-learn and scipy, standard errors beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.errors import DataError
from harness.tasks.statistics import Array, bootstrap_stderr, proportion_stderr

Scored = tuple[float | None, float | None]  # value (None: undefined on this input), standard error


def score(name: str, predictions: Array, truth: Array) -> Scored:
    """One metric by its key, over (n,) predictions and true labels: classes, or scores for stsb."""
    value = _value(name, predictions, truth)
    if value is None:
        return None, None
    if name == "accuracy":
        return value, proportion_stderr(value, len(truth))
    return value, bootstrap_stderr(_RESAMPLED[name], predictions, truth)


def values_from_evaluate(config: str, predictions: Array, truth: Array) -> dict[str, float | None]:
    """The metrics of `evaluate.load("glue", config)`, by our keys. Raises DataError where its code, which the
    package fetches from the hub, cannot be had."""
    import evaluate

    try:
        module = evaluate.load("glue", config)
    except (OSError, ValueError, ImportError) as error:
        raise DataError(f"metrics_from: evaluate: the metric code of glue/{config} cannot be fetched: {error}; use metrics_from: sklearn") from error
    found = module.compute(predictions=predictions.tolist(), references=truth.tolist()) or {}
    return {name: float(value) if math.isfinite(value) else None for name, value in found.items()}


def _value(name: str, predictions: Array, truth: Array) -> float | None:
    """Undefined inputs: Matthews and F1 are 0 by scikit-learn's convention, correlations have no value."""
    from scipy import stats
    from sklearn import metrics

    if name == "accuracy":
        return float(metrics.accuracy_score(truth, predictions))
    if name == "f1":
        return float(metrics.f1_score(truth, predictions, zero_division=0))
    if name == "matthews_correlation":
        return float(metrics.matthews_corrcoef(truth, predictions))
    if len(truth) < 2 or _constant(predictions) or _constant(truth):
        return None
    correlate = stats.pearsonr if name == "pearson" else stats.spearmanr
    value = float(correlate(predictions, truth)[0])
    return value if math.isfinite(value) else None


def _constant(values: Array) -> bool:
    return bool((values == values[0]).all())


def _counts(predictions: Array, truth: Array) -> Sequence[Array]:
    """True positives, false positives, false negatives, true negatives of class 1, per resample."""
    yes, true = predictions == 1, truth == 1
    return tuple((a & b).sum(axis=-1).astype(float) for a, b in ((yes, true), (yes, ~true), (~yes, true), (~yes, ~true)))


def _f1(predictions: Array, truth: Array) -> Array:
    tp, fp, fn, _ = _counts(predictions, truth)
    shares: Array = 2 * tp / np.maximum(2 * tp + fp + fn, 1)
    return shares


def _matthews(predictions: Array, truth: Array) -> Array:
    tp, fp, fn, tn = _counts(predictions, truth)
    scale = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    correlations: Array = (tp * tn - fp * fn) / np.where(scale == 0, 1, scale)
    return correlations


def _pearson(predictions: Array, truth: Array) -> Array:
    left = predictions - predictions.mean(axis=-1, keepdims=True)
    right = truth - truth.mean(axis=-1, keepdims=True)
    scale = np.sqrt((left**2).sum(axis=-1) * (right**2).sum(axis=-1))
    return np.where(scale == 0, np.nan, (left * right).sum(axis=-1) / np.where(scale == 0, 1, scale))


def _spearman(predictions: Array, truth: Array) -> Array:
    from scipy.stats import rankdata

    return _pearson(rankdata(predictions, axis=-1), rankdata(truth, axis=-1))


_RESAMPLED = {"f1": _f1, "matthews_correlation": _matthews, "pearson": _pearson, "spearmanr": _spearman}
