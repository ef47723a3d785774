"""Perplexity per unit, its standard error, and what each item contributes; documents as lm-eval's own code makes them."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.analysis.statistics import mean, standard_error
from harness.tasks.perplexity.documents import Document, detokenized, wikitext_pages
from harness.tasks.perplexity.estimates import bits, perplexity

LOSSES, UNITS = [120.0, 80.0, 310.0, 45.0], [60, 30, 110, 20]


def test_perplexity_is_exp_of_the_loss_per_unit_and_bits_its_logarithm() -> None:
    found = perplexity(LOSSES, UNITS)
    assert found.value == pytest.approx(math.exp(555 / 220))
    assert bits(LOSSES, UNITS).value == pytest.approx(555 / 220 / math.log(2))


@pytest.mark.parametrize("estimate", [perplexity, bits])
def test_the_standard_error_is_that_of_the_items_and_near_the_bootstraps(estimate: type) -> None:
    generator = np.random.default_rng(0)
    units = generator.integers(50, 500, size=200).tolist()
    losses = [float(size * generator.normal(3, 0.3)) for size in units]
    found = estimate(losses, units)
    assert mean(found.items) == pytest.approx(found.value)
    assert standard_error(found.items) == pytest.approx(found.stderr)
    draws = generator.integers(0, 200, size=(600, 200))
    values = [estimate([losses[at] for at in draw], [units[at] for at in draw]).value for draw in draws]
    assert found.stderr == pytest.approx(np.std(values), rel=0.1)


def test_a_single_item_has_no_standard_error_and_a_loss_too_large_for_exp_no_value() -> None:
    assert (perplexity([10.0], [5]).stderr, perplexity([10.0], [5]).items) == (None, [pytest.approx(math.exp(2))])
    assert perplexity([1e5, 1e5], [1, 1]).value is None
    assert bits([1e5, 1e5], [1, 1]).value == pytest.approx(1e5 / math.log(2))


TEXTS = [
    "the dogs ' 30 @-@ year , 1 @,@ 000 @.@ 5 : ( a ) [ b ] { c } \" d \" ' e ' ; f ! g ? h . i\n",
    " = Title = \n \n = = Part = = \n = = = Deeper = = = \n = = = = Deepest = = = = \n 20 ° N of it 's N end",
    "/' 5/ unbalanced ( text [ \" here ' s s ' s",
    "", " ", "\n \n",
]  # fmt: skip


def test_text_is_detokenized_and_counted_as_in_lm_evals_tasks(shared_data: Path) -> None:
    from lm_eval.tasks.c4 import preprocess_c4
    from lm_eval.tasks.wikitext import preprocess_wikitext

    real = "\n".join(pd.read_parquet(shared_data / "wikitext2" / "test.parquet")["text"])
    for text in [*TEXTS, real]:
        assert detokenized(text) == preprocess_wikitext.wikitext_detokenizer({"page": text}) == preprocess_c4.c4_detokenizer({"text": text})
        document = Document("", text)
        theirs = preprocess_wikitext.process_results({"page": text}, (0.0,))
        assert (document.words, document.utf8_bytes) == (theirs["word_perplexity"][1], theirs["byte_perplexity"][1])


def test_pages_are_those_of_the_file_that_the_rows_were_made_of(shared_data: Path) -> None:
    """`EleutherAI/wikitext_document_level` has 62 pages in `test`; wiki.test.raw, of which they are cut, has this SHA-256."""
    pages = wikitext_pages(pd.read_parquet(shared_data / "wikitext2" / "test.parquet")["text"])
    assert len(pages) == 62
    assert pages[0].startswith(" = Robert Boulter = \n \n Robert Boulter is an English film")
    assert pages[0].endswith(" \n \n \n ")
    file = " \n" + "\n".join(pages)
    assert hashlib.sha256(file.encode()).hexdigest() == "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08"


def test_pages_begin_at_titles_and_at_formulas_that_look_like_them_but_not_at_parts() -> None:
    rows = ["", " = One = \n", "", " Text . \n", " = = Part = = \n", " = 1 and k = \n", " = Two = \n", ""]
    assert wikitext_pages(rows) == [" = One = \n \n Text . \n = = Part = = ", " = 1 and k = ", " = Two = \n \n"]
    assert wikitext_pages(["no title", "at all\n"]) == ["no title\nat all\n"]
