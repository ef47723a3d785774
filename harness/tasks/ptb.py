"""Penn Treebank: perplexity of its text, as GPTQ's code takes it, and language-model tuning on it.

`ptb` is the validation split with a blank line between sentences, `ptb-new` the test split with a blank: GPTQ's code has both under
these names. Source: Marcus et al. 1994; Mikolov et al. 2010 (the text with rare words as <unk>). docs/protocols/perplexity.md.
"""

from __future__ import annotations

from harness.tasks.base import TASKS
from harness.tasks.perplexity.task import PerplexityTask
from harness.tasks.perplexity.text_sets import AS_PARQUET, PTB
from harness.tasks.rows.source import DataSet, Source


@TASKS.register("ptb", "ptb-new")
class PennTreebank(PerplexityTask):
    """Penn Treebank: perplexity over the validation split (ptb) or the test split (ptb-new), for decoders."""

    def between(self, split: str) -> str:
        return "\n\n" if self.task == "ptb" else " "

    def dataset(self) -> DataSet:
        return PTB

    def source(self) -> Source:
        return Source(PTB, self.data, self.data_revision or AS_PARQUET)

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("validation",) if self.task == "ptb" else ("test",)
