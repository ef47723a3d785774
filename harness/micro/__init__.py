"""The embedded models and data: everything works with no hub, no network and no GPU.

Three small models, really pre-trained, and data sets in the columns of the real ones, all written by one seeded
grammar (`python -m harness.micro.build`). docs/micro.md says what they are and what they are not.
"""

from __future__ import annotations

from pathlib import Path

from harness.errors import UnknownName

MODELS = ("decoder", "encoder", "seq2seq")
DATA_SETS = ("wikitext", "glue/cola", "glue/sst2", "glue/mrpc", "glue/rte", "glue/stsb", "mmlu", "alpaca", "gsm8k", "metamathqa", "squad")
FOLDER = Path(__file__).parent


def model_path(name: str) -> Path:
    """The Hugging Face folder of an embedded model (config, weights, tokenizer). Raises UnknownName."""
    if name not in MODELS:
        raise UnknownName("micro model", name, MODELS)
    return FOLDER / "models" / name


def data_path(name: str) -> Path:
    """The folder of an embedded data set: one parquet file per split. Raises UnknownName."""
    if name not in DATA_SETS:
        raise UnknownName("micro data set", name, DATA_SETS)
    return FOLDER / "data" / name
