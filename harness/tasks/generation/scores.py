"""Texts against references: BLEU (sacrebleu), NIST and sentence BLEU (nltk), ROUGE (rouge-score). None of it is computed here.

Every function takes generated texts and, for each of them, its references (at least one); shares are between 0 and 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

References = Sequence[Sequence[str]]
_NORMAL_QUANTILE = 1.96  # sacrebleu gives half the width of the 95 % interval
_RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """A metric's value and how it came about. scorer: library and setting, for the protocol id; items: of each text, where the
    value is their mean; note: why there is no value."""

    name: str
    scorer: str
    value: float | None
    stderr: float | None = None
    items: list[float] | None = None
    note: str | None = None


def mean_score(name: str, scorer: str, items: Sequence[float]) -> Score:
    """The mean of the texts' own scores; standard error: their standard deviation over the root of their number."""
    values = [float(item) for item in items]
    stderr = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return Score(name, scorer, float(np.mean(values)), stderr, values)


def bleu(texts: Sequence[str], references: References, *, tokenize: str = "13a", lowercase: bool = False) -> Score:
    """Corpus BLEU with sacrebleu's default smoothing, which acts only where no n-gram of an order matches.

    Standard error: from sacrebleu's 95 % interval over 1,000 seeded bootstrap resamples of the texts.
    Source: Papineni et al. 2002; Post 2018, "A Call for Clarity in Reporting BLEU Scores".
    """
    from sacrebleu.metrics import BLEU

    most = max(map(len, references))
    columns = [[row[number] if number < len(row) else None for row in references] for number in range(most)]
    metric = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
    found = metric.corpus_score(list(texts), columns, n_bootstrap=_RESAMPLES if len(texts) > 1 else 1)
    described = json.loads(found.format(width=12, signature=metric.get_signature().format(), is_json=True))
    half_width = described.get("confidence_var")  # absent for a single text, and where no resample scores
    stderr = None if half_width is None else half_width / _NORMAL_QUANTILE / 100
    return Score("bleu", f"sacrebleu-{tokenize}{'-lc' if lowercase else ''}", found.score / 100, stderr)


def nist(texts: Sequence[str], references: References) -> Score:
    """NIST with n-grams up to 5 by nltk, over lower-cased text in mteval-13a's tokens.

    nltk takes, for each text and order, the reference that matches best; mteval takes all references together, and comes out
    higher. None where no text has five tokens. Source: Doddington 2002.
    """
    from nltk.translate.nist_score import corpus_nist
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenizer = Tokenizer13a()

    def tokens(text: str) -> list[str]:
        return tokenizer(text).lower().split()

    written = [tokens(text) for text in texts]
    if max(map(len, written)) < 5:
        return Score("nist", "nltk-13a-lc", None, note="NIST counts n-grams of up to five tokens, and no generated text has five")
    return Score("nist", "nltk-13a-lc", float(corpus_nist([[tokens(text) for text in row] for row in references], written, n=5)))


def rouge(
    texts: Sequence[str], references: References, names: Sequence[str], *, use_stemmer: bool = False, tokenizer: Any = None, scorer: str = "rouge-score"
) -> list[Score]:
    """F1 of rouge-score's `rouge1`, `rouge2`, `rougeL` or `rougeLsum` (which wants one sentence a line), each the mean over texts;
    of several references the one with the highest counts. Source: Lin 2004; HF's and Google's rouge_score."""
    from rouge_score.rouge_scorer import RougeScorer

    library = RougeScorer(list(names), use_stemmer=use_stemmer, tokenizer=tokenizer)
    found = [library.score_multi(list(row), text) for text, row in zip(texts, references, strict=True)]
    return [mean_score(_KEYS[name], scorer, [row[name].fmeasure for row in found]) for name in names]


_KEYS = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l", "rougeLsum": "rouge_lsum"}


def sentence_bleu(texts: Sequence[str], references: References, tokens: Callable[[str], list[str]], scorer: str) -> Score:
    """Mean over texts of nltk's BLEU of a single text, n-grams up to 4, smoothed by Chen and Cherry's third method (2014)."""
    import warnings

    from nltk.translate.bleu_score import SmoothingFunction
    from nltk.translate.bleu_score import sentence_bleu as of_one

    smoothing = SmoothingFunction().method3
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="\nThe hypothesis contains 0 counts", category=UserWarning)  # once a text
        items = [
            of_one([tokens(one) for one in row], tokens(text), smoothing_function=smoothing) for text, row in zip(texts, references, strict=True)
        ]
    return mean_score("bleu_4", scorer, items)
