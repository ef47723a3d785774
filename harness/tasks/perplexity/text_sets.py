"""The data sets of running text that perplexity is taken on, and that calibrates: where they lie, and their columns."""

from __future__ import annotations

from harness.tasks.rows.columns import Text
from harness.tasks.rows.source import DataSet

_WIKITEXT2_NAMES = ("wikitext2", "wikitext-2-raw-v1")
WIKITEXT2 = DataSet(
    name="wikitext2", hub="Salesforce/wikitext", config="wikitext-2-raw-v1", columns=(Text("text"),),
    folders=((*_WIKITEXT2_NAMES, "wikitext"), _WIKITEXT2_NAMES), micro="wikitext",
)  # fmt: skip
#: Of the English part the first of 1,024 shards to train on and the first of 8 to evaluate on: all that the GPTQ code reads of it.
C4 = DataSet(
    name="c4", hub="allenai/c4", config="en", columns=(Text("text"),), folders=(("c4", "c4-new"), ("en",)),
    hub_files={"train": "en/c4-train.00000-of-01024.json.gz", "validation": "en/c4-validation.00000-of-00008.json.gz"},
)  # fmt: skip
#: Its own loading script is no longer run by `datasets`; the hub keeps what it gives as parquet, in the revision AS_PARQUET.
PTB = DataSet(
    name="ptb", hub="ptb-text-only/ptb_text_only", config="penn_treebank", columns=(Text("sentence", aliases=("text",)),),
    folders=(("ptb", "ptb-new", "ptb_text_only"), ("penn_treebank",)),
    hub_files={split: f"penn_treebank/{split}/*.parquet" for split in ("train", "validation", "test")},
)  # fmt: skip
AS_PARQUET = "refs/convert/parquet"
