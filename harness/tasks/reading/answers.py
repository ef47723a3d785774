"""Answers compared as SQuAD's evaluation scripts compare them: exact match and F1 of words, after normalisation.

Source: Rajpurkar et al. 2016 and 2018, evaluate-v1.1.py and evaluate-v2.0.py. Own code of that definition: transformers 5 has dropped
its squad_metrics, and the `evaluate` package fetches its metrics as code from the hub.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised_answer(text: str) -> str:
    """Small letters, no ASCII punctuation, no articles, single blanks."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, right: str) -> bool:
    """Whether two answers are the same once normalised."""
    return normalised_answer(answer) == normalised_answer(right)


def token_f1(answer: str, right: str) -> float:
    """F1 of the words that two answers share, each as often as both have it; 0 where they share none, so between empty ones too."""
    told, true = normalised_answer(answer).split(), normalised_answer(right).split()
    shared = (Counter(told) & Counter(true)).total()
    return 2 * shared / (len(told) + len(true)) if shared else 0.0


def best_scores(answer: str, right: Sequence[str], may_be_unanswerable: bool) -> tuple[float, float]:
    """Exact match and F1 of an answer with that of the right ones which it comes nearest to.

    may_be_unanswerable: as version 2.0 scores: where no right answer is left after normalisation only the empty answer is
    right, and it is wholly so.
    """
    if may_be_unanswerable:
        right = [each for each in right if normalised_answer(each)] or [""]
        if "" in (normalised_answer(answer), *right):
            same = float(any(exact_match(answer, each) for each in right))
            return same, same
    return _nearest(exact_match, answer, right), _nearest(token_f1, answer, right)


def _nearest(score: Callable[[str, str], float], answer: str, right: Sequence[str]) -> float:
    return float(max(score(answer, each) for each in right))
