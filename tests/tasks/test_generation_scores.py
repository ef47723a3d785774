"""Scores of texts: the libraries' own values on whole corpora, standard errors, and what has no value."""

from __future__ import annotations

import math
import shutil
import statistics

import pytest

from harness.tasks.generation.coco import NAMES, coco_scores
from harness.tasks.generation.scores import bleu, mean_score, nist, rouge, sentence_bleu

TEXTS = ["Blue Spice is a coffee shop in the city centre .", "The pub Giraffe, by the river, serves French food.", "", "It is cheap."]
REFERENCES = [
    ["A coffee shop in the city centre area called Blue Spice .", "Blue Spice is a coffee shop in city centre ."],
    ["Giraffe is a pub by the river that serves French food."],
    ["The Mill is a pub .", "There is a pub The Mill .", "A pub is The Mill ."],
    ["The food is cheap.", "It's cheap."],
]


def test_bleu_is_sacrebleus_over_any_number_of_references() -> None:
    import sacrebleu

    columns = [[row[number] if number < len(row) else None for row in REFERENCES] for number in range(3)]
    for lowercase in (True, False):
        expected = sacrebleu.corpus_bleu(TEXTS, columns, lowercase=lowercase, force=True).score / 100
        assert bleu(TEXTS, REFERENCES, lowercase=lowercase).value == pytest.approx(expected, abs=1e-12)
    assert bleu(TEXTS, REFERENCES, lowercase=True).scorer == "sacrebleu-13a-lc"


def test_bleus_standard_error_is_the_spread_over_resamples_and_the_same_each_time() -> None:
    import numpy as np
    import sacrebleu

    texts, references = TEXTS * 10, REFERENCES * 10
    found = bleu(texts, references)
    draw, values = np.random.default_rng(0), []
    for _ in range(60):
        drawn = draw.integers(0, len(texts), len(texts)).tolist()
        columns = [[references[index][number] if number < len(references[index]) else None for index in drawn] for number in range(3)]
        values.append(sacrebleu.corpus_bleu([texts[index] for index in drawn], columns, force=True).score / 100)
    assert found.stderr == pytest.approx(statistics.stdev(values), rel=0.4)
    assert found == bleu(texts, references)
    assert bleu(texts[:1], references[:1]).stderr is None


def test_nist_is_nltks_over_lower_case_tokens_and_undefined_without_five_in_a_text() -> None:
    from nltk.translate.nist_score import corpus_nist

    tokens = [["blue", "spice", "is", "a", "coffee", "shop", "in", "the", "city", "centre", "."], ["the", "pub", "giraffe", ",", "by", "the", "river", ",", "serves", "french", "food", "."]]
    references = [[["a", "coffee", "shop", "in", "the", "city", "centre", "area", "called", "blue", "spice", "."], ["blue", "spice", "is", "a", "coffee", "shop", "in", "city", "centre", "."]], [["giraffe", "is", "a", "pub", "by", "the", "river", "that", "serves", "french", "food", "."]]]
    assert nist(TEXTS[:2], REFERENCES[:2]).value == pytest.approx(corpus_nist(references, tokens))
    none = nist(["", "It is cheap."], REFERENCES[2:])
    assert none.value is None
    assert "five tokens" in (none.note or "")


def test_rouge_takes_the_best_reference_of_each_text() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    library = RougeScorer(["rouge2"], use_stemmer=True)
    expected = [max(library.score(reference, text)["rouge2"].fmeasure for reference in row) for text, row in zip(TEXTS, REFERENCES, strict=True)]
    (found,) = rouge(TEXTS, REFERENCES, ["rouge2"], use_stemmer=True)
    assert found.name == "rouge_2"
    assert found.items == pytest.approx(expected)
    assert found.value == pytest.approx(statistics.mean(expected))
    assert found.stderr == pytest.approx(statistics.stdev(expected) / math.sqrt(4))


def test_sentence_bleu_is_nltks_with_its_third_smoothing_and_0_for_an_empty_text() -> None:
    from nltk.translate.bleu_score import SmoothingFunction
    from nltk.translate.bleu_score import sentence_bleu as of_one

    found = sentence_bleu(TEXTS, REFERENCES, list, "characters")
    expected = of_one([list(text) for text in REFERENCES[0]], list(TEXTS[0]), smoothing_function=SmoothingFunction().method3)
    assert found.items is not None
    assert found.items[0] == pytest.approx(expected)
    assert found.items[2] == 0.0


def test_a_single_text_has_no_standard_error() -> None:
    assert mean_score("rouge_1", "x", [0.5]).stderr is None


def test_without_java_the_coco_metrics_have_no_value_and_a_note_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    scores = coco_scores(TEXTS, REFERENCES)
    assert [(score.name, score.value) for score in scores] == [(name, None) for name in NAMES]
    assert all("not installed" in (score.note or "") for score in scores)


@pytest.mark.slow
def test_the_coco_metrics_are_pycocoevalcaps() -> None:
    pytest.importorskip("pycocoevalcap", reason="the extra coco-metrics is not installed")
    if shutil.which("java") is None:
        pytest.skip("pycocoevalcap needs Java")
    texts, references = [*TEXTS, "two\nlines", "", ""], [*REFERENCES, ["two lines"], ["nothing at all"], ["nor here"]]
    found = {score.name: score for score in coco_scores(texts, references)}
    perfect = {score.name: score for score in coco_scores([row[0] for row in references], references)}
    assert found["meteor"].value is not None
    assert 0 < found["meteor"].value < 1 == perfect["meteor"].value
    assert found["cider"].items is not None
    assert found["cider"].items[-2:] == [0.0, 0.0]
    assert found["rouge_l_coco"].items is not None
    assert found["rouge_l_coco"].items[4] == pytest.approx(1.0), "a line break within a text is a blank"
    assert perfect["rouge_l_coco"].value == pytest.approx(1.0)
    single = {score.name: score for score in coco_scores(texts[:1], references[:1])}
    assert single["cider"].value is None
    assert "two items" in (single["cider"].note or "")
