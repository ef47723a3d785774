"""SuperGLUE's metrics by hand, and beside lm-eval's and scikit-learn's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from superglue_rows import ROWS

from harness.tasks.superglue_datasets import SUPERGLUE
from harness.tasks.superglue_metrics import (
    f1_macro,
    multirc_scores,
    record_scores,
    scored,
)


def test_multirc_by_hand() -> None:
    """Questions of 3, 1 and 2 options; two of the three judged right throughout; 3 hits, 4 told, 3 true."""
    truth = np.array([1, 0, 1, 0, 1, 0])
    predictions = np.array([1, 0, 1, 1, 1, 0])
    questions = [(0, 0), (0, 0), (0, 0), (0, 1), (1, 0), (1, 0)]
    found = multirc_scores(predictions, truth, questions)
    assert found["f1"].value == pytest.approx(6 / 7)
    assert found["exact_match"].value == pytest.approx(2 / 3)
    assert (found["f1"].n, found["exact_match"].n) == (6, 3)
    assert found["exact_match"].stderr == pytest.approx((2 / 3 * 1 / 3 / 3) ** 0.5)


def many(seed: int, classes: int, n: int = 400) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, n)
    return np.where(generator.random(n) < 0.6, truth, generator.integers(0, classes, n)), truth


def test_multirc_is_lm_evals() -> None:
    from lm_eval.tasks.super_glue.multirc.t5_utils import agg_em, agg_f1, em, f1

    predictions, truth = many(0, 2)
    questions = [(place // 20, place // 5 % 4) for place in range(400)]
    words = ("False", "True")
    answers = [([words[told]], [f"{question}_{words[true]}"]) for told, true, question in zip(predictions, truth, questions, strict=True)]
    found = multirc_scores(predictions, truth, questions)
    assert found["f1"].value == pytest.approx(agg_f1([f1(*each) for each in answers]))
    assert found["exact_match"].value == pytest.approx(agg_em([em(*each) for each in answers]))


def test_the_spread_of_multircs_f1_is_over_questions() -> None:
    """Options of a question that stand and fall together carry less than as many of their own."""
    right = np.repeat(np.random.default_rng(1).random(80) < 0.7, 5)
    truth = np.ones(400, dtype=int)
    together = multirc_scores(right.astype(int), truth, [place // 5 for place in range(400)])["f1"].stderr
    apart = multirc_scores(right.astype(int), truth, list(range(400)))["f1"].stderr
    assert together is not None
    assert apart is not None
    assert together == pytest.approx(apart * 5**0.5, rel=0.15)


def test_cbs_f1_is_scikit_learns_and_lm_evals() -> None:
    from lm_eval.tasks.super_glue.cb.aggregate import cb_multi_fi
    from sklearn.metrics import f1_score

    predictions, truth = many(2, 3, 56)
    found = f1_macro(predictions, truth, 3)
    assert found.value == pytest.approx(f1_score(truth, predictions, average="macro"))
    assert found.value == pytest.approx(cb_multi_fi(list(zip(predictions, truth, strict=True))))
    resampled = [f1_score(truth[drawn], predictions[drawn], average="macro", labels=range(3)) for drawn in np.random.default_rng(3).integers(0, 56, (500, 56))]
    assert found.stderr == pytest.approx(np.std(resampled), rel=0.15)


def test_a_class_that_nobody_names_counts_as_0() -> None:
    assert f1_macro(np.array([0, 0, 1]), np.array([0, 0, 1]), 3).value == pytest.approx(2 / 3)


def test_record_is_lm_evals() -> None:
    from lm_eval.tasks.super_glue.record.t5_utils import squad_em_agg, squad_f1_agg

    answers, right = ["the Tigers", "Ann Lee", "Ray", "Rome"], [["Tigers"], ["Ann", "Bob Ann"], ["Bob Ray", "Ray"], ["Ann"]]
    found = record_scores(answers, right)
    items = [[(answer, f"{number}_{each}") for each in known] for number, (answer, known) in enumerate(zip(answers, right, strict=True))]
    assert found["f1_tokens"].value == pytest.approx(squad_f1_agg([pair for each in items for pair in each]))
    assert found["exact_match"].value == pytest.approx(np.mean([squad_em_agg(each) for each in items]))
    assert found["exact_match"].value == pytest.approx(2 / 4)
    assert found["f1_tokens"].value == pytest.approx((1 + 2 / 3 + 1 + 0) / 4)
    assert found["f1_tokens"].stderr == pytest.approx(np.std([1, 2 / 3, 1, 0], ddof=1) / 2)
    assert found["f1_tokens"].items == pytest.approx([1, 2 / 3, 1, 0])


def test_a_record_answer_is_the_candidate_chosen_each_counted_once() -> None:
    rows = ROWS["record"]
    assert scored(SUPERGLUE["record"], rows, [2, 1])["exact_match"].value == 1
    assert scored(SUPERGLUE["record"], rows, [3, 2])["exact_match"].value == 0


def test_axb_is_matthews() -> None:
    from sklearn.metrics import matthews_corrcoef

    predictions, truth = many(4, 2)
    rows = [{"label": int(label)} for label in truth]
    found = scored(SUPERGLUE["axb"], rows, predictions.tolist())
    assert found["matthews_correlation"].value == pytest.approx(matthews_corrcoef(truth, predictions))
