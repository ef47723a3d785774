"""The named calibration sets, as the GPTQ code and those that follow it have them: docs/calibration.md says what each is."""

from __future__ import annotations

from dataclasses import dataclass

from harness.tasks.perplexity.text_sets import AS_PARQUET, C4, PTB, WIKITEXT2
from harness.tasks.rows.source import DataSet

TRAIN = "train"


@dataclass(frozen=True)
class NamedSet:
    """A set of rows of text. joined: what stands between rows that are read as one text; None: each row is a document of its own, and a
    sample lies within one. revision: of the hub data set."""

    dataset: DataSet
    joined: str | None
    revision: str | None = None

    @property
    def column(self) -> str:
        """The column that holds the text."""
        return self.dataset.columns[0].name


NAMED: dict[str, NamedSet] = {
    "wikitext2": NamedSet(WIKITEXT2, "\n\n"),
    "c4": NamedSet(C4, None),
    "c4-new": NamedSet(C4, None),
    "ptb": NamedSet(PTB, "\n\n", AS_PARQUET),
    "ptb-new": NamedSet(PTB, " ", AS_PARQUET),
}
MICRO = NamedSet(WIKITEXT2, "\n\n")
