"""C4: perplexity of web pages, as GPTQ's code takes it, and language-model tuning on them.

`c4` is 256 windows of random documents, `c4-new` the first 1,100 documents as one text: GPTQ's code has both under these names.
Source: Raffel et al. 2020; Frantar et al. 2022, "GPTQ", sec. 4. docs/protocols/perplexity.md.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from pydantic import model_validator

from harness.errors import DataError
from harness.tasks.base import TASKS, TaskContext
from harness.tasks.perplexity.documents import Document, readable
from harness.tasks.perplexity.task import PerplexityTask, tokens_of
from harness.tasks.perplexity.text_sets import C4
from harness.tasks.perplexity.windows import drawn
from harness.tasks.rows.source import DataSet, Rows

if TYPE_CHECKING:
    from harness.tasks.statistics import Array

WINDOWS = 256
DOCUMENTS = 1100  # of c4-new
_SEED = 0  # of GPTQ's draw, whatever the cell's seed is: all cells read the same windows


@TASKS.register("c4", "c4-new")
class CommonCrawl(PerplexityTask):
    """C4 (English): perplexity over windows of the first validation shard, for decoders."""

    @model_validator(mode="after")
    def _windows_of_many_documents_do_not_slide(self) -> CommonCrawl:
        if self.task == "c4" and "strided" in self.protocols:
            raise ValueError("c4 is windows of separate documents, and strided reads running text: take c4-new, or leave strided out")
        return self

    def between(self, split: str) -> str:
        return " "

    def dataset(self) -> DataSet:
        return C4

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("validation",)

    def evaluated(self, rows: Rows) -> Rows:
        return rows.first(DOCUMENTS) if self.task == "c4-new" else rows

    def documents(self, texts: list[str]) -> list[Document]:
        return readable(texts)

    def evaluated_tokens(self, texts: list[str], length: int, context: TaskContext) -> Array:
        """c4: windows of `length`, one behind the other. c4-new: the beginning of the joined text."""
        import numpy as np

        if self.task == "c4-new":
            return super().evaluated_tokens(texts, length, context)[: WINDOWS * length]
        count = min(WINDOWS, self.max_eval_samples or WINDOWS)
        found, short = drawn(texts, lambda text: context.tokenizer(text, verbose=False)["input_ids"], count, length, random.Random(_SEED))
        if not found:
            raise DataError(f"{self.task}: no document is longer than a window of {length:,} tokens; the longest has {max(map(len, short)):,} with this tokenizer")
        return np.asarray(found, dtype=np.int32).reshape(-1)

    def training_tokens(self, texts: list[str], context: TaskContext) -> Array:
        """Documents one behind the other, each with the tokenizer's own special tokens: one text of them all would not fit in memory."""
        import numpy as np

        return np.concatenate([tokens_of(text, context) for text in texts])
