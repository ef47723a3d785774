"""lm-eval's own `wikitext` and `c4` tasks on documents in memory, without a network: its yaml, its requests, its model class."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any


def lm_eval_perplexities(model: Any, tokenizer: Any, documents: list[str], *, task: str = "wikitext", column: str = "page", batch_size: int = 3) -> dict[str, float]:
    """word_perplexity, byte_perplexity and bits_per_byte of the documents."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    import datasets
    import lm_eval.tasks
    from lm_eval import evaluate
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks._yaml_loader import load_yaml

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    config = load_yaml(Path(lm_eval.tasks.__file__).parent / task / f"{task}.yaml")
    split = config.get("test_split") or config["validation_split"]
    rows = datasets.DatasetDict({split: datasets.Dataset.from_dict({column: documents})})
    config = {name: value for name, value in config.items() if name not in ("training_split", "validation_split", "test_split", "dataset_kwargs")}
    own = ConfigurableTask(config={**config, "test_split": split, "custom_dataset": lambda **_: rows})
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
    results = evaluate(lm, {task: own}, bootstrap_iters=0, confirm_run_unsafe_code=True)
    return {name.removesuffix(",none"): value for name, value in results["results"][task].items() if name.endswith("_perplexity,none") or name == "bits_per_byte,none"}
