"""METEOR, CIDEr and COCO's ROUGE-L by pycocoevalcap, as the E2E challenge's own script takes them: optional, and it needs Java."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from harness.needs import Machine, Needs
from harness.tasks.generation.scores import References, Score, mean_score

SCORER = "coco"
NAMES = ("meteor", "cider", "rouge_l_coco")


def coco_scores(texts: Sequence[str], references: References) -> list[Score]:
    """METEOR 1.5 (0 to 1), CIDEr with the evaluated references' own document frequencies (0 to 10), and ROUGE-L with beta 1.2 and
    the best precision and recall over references, all over PTB tokens in lower case without punctuation.

    Without a value, and with a note, where the package or Java is missing or cannot be run.
    Source: Banerjee and Lavie 2005; Vedantam et al. 2015; tuetschek/e2e-metrics.
    """
    if reason := missing():
        return [Score(name, SCORER, None, note=reason) for name in NAMES]
    try:
        return _scores(*_tokenized(texts, references))
    except OSError as error:  # Java does not start, or the package's folder, where it keeps its files, is not writable
        return [Score(name, SCORER, None, note=f"pycocoevalcap could not be run: {error}") for name in NAMES]


def missing() -> str | None:
    """Why these metrics cannot be computed on this machine, or None."""
    if reason := Needs(packages=("pycocoevalcap",)).unmet(Machine(), None):
        return f"METEOR, CIDEr and COCO's ROUGE-L: {reason} (extra coco-metrics)"
    return None if shutil.which("java") else "METEOR, CIDEr and COCO's ROUGE-L: pycocoevalcap needs Java, which is not installed"


Captions = dict[int, list[str]]


def _tokenized(texts: Sequence[str], references: References) -> tuple[Captions, Captions]:
    """(references, texts) in tokens, by number of the text; a line break within a text would count as another text."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    written = {number: [{"caption": _line(text)}] for number, text in enumerate(texts)}
    expected = {number: [{"caption": _line(text)} for text in row] for number, row in enumerate(references)}
    return tokenizer.tokenize(expected), tokenizer.tokenize(written)


def _line(text: str) -> str:
    return " ".join(text.split())


def _scores(expected: Captions, written: Captions) -> list[Score]:
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge

    meteor, _ = Meteor().compute_score(expected, written)
    _, rouge = Rouge().compute_score(expected, written)
    return [Score("meteor", SCORER, float(meteor)), _cider(Cider().compute_score(expected, written)[1]), mean_score("rouge_l_coco", SCORER, rouge)]


def _cider(items: Sequence[float]) -> Score:
    if len(items) < 2:
        return Score("cider", SCORER, None, note="CIDEr weighs words by how few of the evaluated items have them: it needs two items or more")
    return mean_score("cider", SCORER, items)
