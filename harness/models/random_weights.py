"""`random:<shape>`: a randomly initialised checkpoint of a real architecture's size, made once and kept in the cache.

Memory and speed do not depend on the weights' values, so such a model measures both; what it says is noise.
Being a folder like any other, it goes through the same loading and quantization code as a real one.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from harness.micro import model_path
from harness.models.base import ModelConfig
from harness.models.facts import facts_of
from harness.models.kept_folder import kept_folder
from harness.models.source import shape_file

SEED = 0
TOKENIZERS = {"decoder": "decoder", "encoder": "encoder", "encoder-decoder": "seq2seq"}


def materialise(shape: str, config: ModelConfig, cache: Path) -> Path:
    """The folder of the shape's checkpoint in `cache`, made if it is not there; complete or absent, never half.

    Weights are drawn by transformers' own initialisation from a fixed seed, in the entry's dtype (bfloat16 for
    `auto`). The tokenizer is the micro model's of the same kind; its special tokens replace the config's.
    """
    values = json.loads(shape_file(shape).read_text(encoding="utf-8"))
    dtype = "bfloat16" if config.dtype == "auto" else config.dtype
    key = hashlib.sha256(json.dumps([values, dtype, SEED], sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / "random" / f"{Path(shape).name}-{dtype}-{key}"
    return kept_folder(folder, partial(_write, values, dtype))


def _write(values: dict[str, Any], dtype: str, folder: Path) -> None:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model_path(TOKENIZERS[facts_of(values).kind]))
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "eos_token_id", "bos_token_id")}
    settings = {name: value for name, value in values.items() if name != "model_type"} | {
        name: value for name, value in special.items() if value is not None
    }
    config = transformers.AutoConfig.for_model(values["model_type"], **settings)
    model_class = getattr(transformers, values["architectures"][0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        previous = torch.get_default_dtype()
        torch.set_default_dtype(getattr(torch, dtype))
        try:
            model = model_class(config)
        finally:
            torch.set_default_dtype(previous)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
