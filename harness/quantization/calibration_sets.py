"""The named calibration sets, as the GPTQ code and those that follow it have them: docs/calibration.md says what each is."""

from __future__ import annotations

from dataclasses import dataclass

from harness.tasks.rows.columns import Text
from harness.tasks.rows.source import DataSet
from harness.tasks.wikitext2 import WIKITEXT2

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


#: The first of 1,024 shards of the English part: all that the GPTQ code reads of it.
C4 = DataSet(
    name="c4", hub="allenai/c4", config="en", columns=(Text("text"),), folders=(("c4", "c4-new"), ("en",)),
    hub_files={TRAIN: "en/c4-train.00000-of-01024.json.gz"},
)  # fmt: skip
#: Its own loading script is no longer run by `datasets`; the hub keeps what it gives as parquet, in a revision of that name.
PTB = DataSet(
    name="ptb", hub="ptb-text-only/ptb_text_only", config="penn_treebank", columns=(Text("sentence", aliases=("text",)),),
    folders=(("ptb", "ptb-new", "ptb_text_only"), ("penn_treebank",)), hub_files={TRAIN: "penn_treebank/train/*.parquet"},
)  # fmt: skip
AS_PARQUET = "refs/convert/parquet"

NAMED: dict[str, NamedSet] = {
    "wikitext2": NamedSet(WIKITEXT2, "\n\n"),
    "c4": NamedSet(C4, None),
    "c4-new": NamedSet(C4, None),
    "ptb": NamedSet(PTB, "\n\n", AS_PARQUET),
    "ptb-new": NamedSet(PTB, " ", AS_PARQUET),
}
MICRO = NamedSet(WIKITEXT2, "\n\n")
