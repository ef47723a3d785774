"""lm-eval's own tasks over rows of our own: its prompts and choices are the independent rendering that ours are compared with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

# lm-eval 0.4.13's record imports its metric from here; transformers 5 has it no longer. Nothing of it is asked for.
_GONE = ("transformers.data.metrics", "transformers.data.metrics.squad_metrics")


def lm_eval_task(below: str, rows: list[dict[str, Any]], folder: Path) -> Any:
    """The task of lm_eval/tasks/<below>/default.yaml, its documents read from a file in place of the hub."""
    import lm_eval.tasks
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    for name in _GONE:
        sys.modules.setdefault(name, ModuleType(name))
    path = folder / "documents.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = load_yaml(Path(lm_eval.tasks.__file__).parent / below / "default.yaml", resolve_func=True)
    config.pop("tag", None)
    local = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": {"documents": str(path)}}}
    return ConfigurableTask(config=config | local | {"training_split": None, "validation_split": "documents", "test_split": None, "metric_list": [{"metric": "acc"}], "process_results": None})


def lm_eval_texts(task: Any) -> list[tuple[list[str], Any]]:
    """Of every document the whole texts that lm-eval scores, prompt and choice, and its target."""
    delimiter = task.config.target_delimiter
    return [
        ([task.doc_to_text(document) + delimiter + choice for choice in task.doc_to_choice(document)], task.doc_to_target(document))
        for document in task.validation_docs()
    ]
