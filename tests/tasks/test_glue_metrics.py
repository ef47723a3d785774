"""GLUE's metrics against independent computation, their standard errors against theory, and undefined inputs."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from harness.errors import DataError
from harness.tasks.glue_metrics import score, values_from_evaluate
from harness.tasks.statistics import bootstrap_stderr, proportion_stderr

GENERATOR = np.random.default_rng(1)
TRUTH = GENERATOR.integers(0, 2, 400)
PREDICTED = np.where(GENERATOR.random(400) < 0.8, TRUTH, 1 - TRUTH)
SCORES = GENERATOR.uniform(0, 5, 300)
GUESSES = SCORES + GENERATOR.normal(0, 1.5, 300)


def counts() -> tuple[int, int, int, int]:
    pairs = list(zip(PREDICTED.tolist(), TRUTH.tolist(), strict=True))
    return pairs.count((1, 1)), pairs.count((1, 0)), pairs.count((0, 1)), pairs.count((0, 0))


def test_class_metrics_follow_their_definitions() -> None:
    tp, fp, fn, tn = counts()
    matthews = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert score("accuracy", PREDICTED, TRUTH)[0] == pytest.approx((tp + tn) / 400)
    assert score("f1", PREDICTED, TRUTH)[0] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert score("matthews_correlation", PREDICTED, TRUTH)[0] == pytest.approx(matthews)


def test_correlations_follow_their_definitions() -> None:
    assert score("pearson", GUESSES, SCORES)[0] == pytest.approx(np.corrcoef(GUESSES, SCORES)[0, 1])
    ranks = [values.argsort().argsort() for values in (GUESSES, SCORES)]
    assert score("spearmanr", GUESSES, SCORES)[0] == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_an_accuracys_standard_error_is_the_binomial_one() -> None:
    value, stderr = score("accuracy", PREDICTED, TRUTH)
    assert value is not None
    assert stderr == pytest.approx(math.sqrt(value * (1 - value) / 400))
    assert proportion_stderr(1.0, 10) == 0.0


@pytest.mark.parametrize("name", ["pearson", "spearmanr"])
def test_a_correlations_standard_error_is_near_theorys(name: str) -> None:
    value, stderr = score(name, GUESSES, SCORES)
    assert value is not None
    assert stderr == pytest.approx((1 - value**2) / math.sqrt(300), rel=0.35)
    assert score(name, GUESSES, SCORES) == (value, stderr), "the bootstrap is seeded"


def test_the_bootstrap_of_a_mean_is_the_means_standard_error() -> None:
    stderr = bootstrap_stderr(lambda left, right: left.mean(axis=-1), PREDICTED, TRUTH)
    assert stderr == pytest.approx(PREDICTED.std() / math.sqrt(400), rel=0.1)


@pytest.mark.parametrize("name", ["f1", "matthews_correlation", "pearson", "spearmanr"])
def test_the_statistic_resampled_is_the_metric_itself(name: str) -> None:
    from harness.tasks.glue_metrics import _RESAMPLED

    pair = (GUESSES, SCORES) if name in ("pearson", "spearmanr") else (PREDICTED, TRUTH)
    resampled = _RESAMPLED[name](pair[0][None], pair[1][None])
    assert resampled.shape == (1,)
    assert resampled[0] == pytest.approx(score(name, *pair)[0])


def test_constant_predictions_give_a_convention_or_nothing_but_never_nan() -> None:
    ones, zeros = np.ones(400, dtype=int), np.zeros(400, dtype=int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score("matthews_correlation", ones, TRUTH) == (0.0, 0.0)
        assert score("f1", zeros, TRUTH) == (0.0, 0.0)
        assert score("f1", zeros, zeros) == (0.0, 0.0)
        assert score("pearson", np.ones(300), SCORES) == (None, None)
        assert score("spearmanr", GUESSES, np.ones(300)) == (None, None)
        assert score("pearson", GUESSES[:1], SCORES[:1]) == (None, None)


def test_metrics_from_evaluate_say_when_the_hub_is_out_of_reach() -> None:
    pytest.importorskip("evaluate", reason="the extra is not installed")
    with pytest.raises(DataError, match=r"metric code of glue/mrpc cannot be fetched.*use metrics_from: sklearn"):
        values_from_evaluate("mrpc", PREDICTED, TRUTH)
