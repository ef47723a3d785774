"""lm-eval's own `mmlu` and `mmlu_continuation` on rows in memory, without a network: its yaml, its requests, its model class."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import Any

import pandas as pd

FOLDERS = {"letter": "default", "full-answer": "continuation"}


def lm_eval_tasks(test: pd.DataFrame, dev: pd.DataFrame, scoring: str) -> list[Any]:
    """One of lm-eval's tasks for every subject of `test`, with that subject's rows in their order."""
    import datasets
    import lm_eval.tasks
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    folder = Path(lm_eval.tasks.__file__).parent / "mmlu" / FOLDERS[scoring]
    tasks = []
    for subject in test["subject"].unique():
        splits = {"test": test[test["subject"] == subject], "dev": dev[dev["subject"] == subject]}
        rows = datasets.DatasetDict({name: datasets.Dataset.from_pandas(frame, preserve_index=False) for name, frame in splits.items()})
        config = load_yaml(folder / f"mmlu_{subject}.yaml")
        config.pop("tag")
        tasks.append(ConfigurableTask(config={**config, "custom_dataset": lambda rows=rows, **_: rows}))
    return tasks


def lm_eval_results(model: Any, tokenizer: Any, test: pd.DataFrame, dev: pd.DataFrame, *, shots: int, scoring: str = "letter", batch_size: int = 8) -> Any:
    """What lm_eval.simple_evaluate returns, samples included."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
    tasks = lm_eval_tasks(test, dev, scoring)
    return simple_evaluate(lm, tasks=tasks, num_fewshot=shots, bootstrap_iters=0, task_manager=TaskManager(include_defaults=False), confirm_run_unsafe_code=True)


def lm_eval_scores(results: Any, test: pd.DataFrame) -> list[list[float]]:
    """Of every row of `test` the log-likelihoods of its answers."""
    scores: list[list[float]] = [[math.nan]] * len(test)
    for subject in test["subject"].unique():
        places = [place for place, each in enumerate(test["subject"]) if each == subject]
        (samples,) = (found for name, found in results["samples"].items() if name.removeprefix("mmlu_").removesuffix("_continuation") == subject)
        for sample in samples:
            scores[places[sample["doc_id"]]] = [likelihood for likelihood, _ in sample["filtered_resps"]]
    return scores
