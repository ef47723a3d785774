"""WikiText-2 (raw): perplexity over the test split, and language-model tuning on its training text.

Source: Merity et al. 2017, "Pointer Sentinel Mixture Models". Protocols `wikitext2/gptq-<window>`, `wikitext2/lm-eval-word-<window>`,
`wikitext2/lm-eval-byte-<window>`, `wikitext2/strided-<window>-<stride>`: docs/protocols/perplexity.md.
"""

from __future__ import annotations

from harness.tasks.base import TASKS
from harness.tasks.perplexity.documents import Document, readable, wikitext_pages
from harness.tasks.perplexity.task import PerplexityTask
from harness.tasks.perplexity.text_sets import WIKITEXT2
from harness.tasks.rows.source import DataSet


@TASKS.register("wikitext2")
class WikiText2(PerplexityTask):
    """WikiText-2 (raw): perplexity over the test split, for decoders."""

    def dataset(self) -> DataSet:
        return WIKITEXT2

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("test",)

    def documents(self, texts: list[str]) -> list[Document]:
        return readable(wikitext_pages(texts))
