"""Summarisation: a document in, its summary out, scored by ROUGE as transformers' run_summarization.py does.

Source: Narayan et al. 2018 (XSum), See et al. 2017 (CNN/DailyMail, non-anonymised), transformers' examples/pytorch/summarization;
Radford et al. 2019 (GPT-2) for `TL;DR:`. Protocols `xsum/...` and `cnn_dailymail/...`: docs/protocols/summarisation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from harness.needs import Needs
from harness.tasks.base import TASKS, TaskContext
from harness.tasks.generation.scores import Score, rouge
from harness.tasks.generation.task import (
    CONVERTED,
    GenerationTask,
    beams,
    converted_files,
    new_tokens,
    no_repeat,
    penalty,
    source_length,
    target_length,
)
from harness.tasks.rows.columns import Text
from harness.tasks.rows.source import DataSet

if TYPE_CHECKING:
    from nltk.tokenize.punkt import PunktSentenceTokenizer

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class Summarisation(GenerationTask):
    """Encoder-decoders: `summarize: <document>`; decoders: the document, a line break, `TL;DR:`, and the summary after a blank.
    Trained on `train`, evaluated on `test`."""

    needs: ClassVar[Needs] = Needs(packages=("rouge_score", "nltk"))
    document: ClassVar[str]
    summary: ClassVar[str]

    max_source_length: int | None = source_length(1024)
    max_target_length: int | None = target_length(128)
    num_beams: int = beams(4)
    no_repeat_ngram_size: int = no_repeat(3)

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("test",)

    def source_text(self, row: dict[str, Any]) -> str:
        return str(row[self.document])

    def target(self, row: dict[str, Any]) -> str:
        return str(row[self.summary])

    def usual_prompt(self, context: TaskContext) -> tuple[str, str]:
        return ("summarize: ", "") if context.model.kind == "encoder-decoder" else ("", "\nTL;DR:")

    def scores(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        lines = [one_sentence_a_line(text) for text in texts]
        return rouge(lines, [[one_sentence_a_line(text) for text in row] for row in references], ROUGE, use_stemmer=True, scorer="rouge-score-stemmed")


def one_sentence_a_line(text: str) -> str:
    """The text's sentences by nltk's Punkt, without the English model that sent_tokenize would download: that one knows
    abbreviations, so that it splits less often. Matters to ROUGE-Lsum alone."""
    return "\n".join(_punkt().tokenize(text))


@cache
def _punkt() -> PunktSentenceTokenizer:
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    return PunktSentenceTokenizer()


@TASKS.register("xsum")
class XSum(Summarisation):
    """One sentence for a BBC article."""

    document: ClassVar[str] = "document"
    summary: ClassVar[str] = "summary"
    hub_revision: ClassVar[str | None] = CONVERTED

    max_new_tokens: int = new_tokens(64)

    def dataset(self) -> DataSet:
        columns = (Text("document"), Text("summary"))
        return DataSet(name="xsum", hub="EdinburghNLP/xsum", config="default", columns=columns, folders=(("xsum",),), hub_files=converted_files("default"))


@TASKS.register("cnn_dailymail")
class CnnDailyMail(Summarisation):
    """The highlights of a news article, about three sentences."""

    document: ClassVar[str] = "article"
    summary: ClassVar[str] = "highlights"

    max_new_tokens: int = new_tokens(128)
    length_penalty: float = penalty(2.0)

    def dataset(self) -> DataSet:
        columns = (Text("article"), Text("highlights"))
        return DataSet(name="cnn_dailymail", hub="abisee/cnn_dailymail", config="3.0.0", columns=columns, folders=(("cnn_dailymail", "cnndm"), ("3.0.0",)))
