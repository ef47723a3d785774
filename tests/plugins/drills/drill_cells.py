"""A tiny model, and cells and suites on it that use the extension `harness_drills`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def write_model(folder: Path) -> Path:
    """A one-layer Llama of a few thousand weights with a word tokenizer, as a model folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "yes": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=8, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, pad_token_id=0
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def drill_cell(
    model: Path, fault: str = "nothing", name: str = "", limits: dict[str, Any] | None = None, scheme: Any = None, **fields: Any
) -> Any:
    """A cell whose method does `fault` and whose task is `counting`; fields: `traces`, `ledger`, `seconds`.
    scheme: by default weights are not quantized."""
    from harness_drills import Counting, Drill

    from harness.models.base import ModelConfig
    from harness.quantization.base import SCHEMES
    from harness.suite.cell import Cell, CellConfig, Labels
    from harness.suite.settings import LimitSettings, MeasureSettings, TrainSettings

    task = {key: fields[key] for key in ("ledger", "seconds") if key in fields}
    config = CellConfig(
        model=ModelConfig(source=f"path:{model}"),
        scheme=scheme or SCHEMES.get("none")(scheme="none"),
        method=Drill(method="drill", fault=fault, traces=fields.get("traces")),
        task=Counting(task="counting", name=name, **task),
        train=TrainSettings(),
        measure=MeasureSettings(),
        limits=LimitSettings(**(limits or {})),
    )
    labels = Labels("tiny", "none", f"drill-{fault}", "counting", 0)
    identity = f"{fault}-{name or 'x'}"
    return Cell(id=identity, suite="drills", profile=None, labels=labels, config=config, untuned_ids=(identity,))


def write_suite(
    folder: Path, model: Path, tasks: Sequence[dict[str, Any]], faults: Sequence[str] = ("nothing",), **sections: Any
) -> Path:
    """A suite file of tasks x faults on the model; sections: further keys of the suite."""
    suite = {
        "name": "drills",
        "models": [{"id": "tiny", "source": f"path:{model}"}],
        "quantization": ["none"],
        "methods": [{"id": f"drill-{fault}", "method": "drill", "fault": fault} for fault in faults],
        "tasks": [{"task": "counting", "id": task["name"], **task} for task in tasks],
        **sections,
    }
    path = folder / "drills.yaml"
    path.write_text(yaml.safe_dump(suite, sort_keys=False))
    return path


def harness_command(*arguments: str | Path) -> list[str]:
    """The command line that runs `harness` with this interpreter."""
    return [sys.executable, "-m", "harness.cli.app", *map(str, arguments)]


def harness_environment() -> dict[str, str]:
    """The environment in which `harness` finds itself and the extension, as if both were installed."""
    places = [ROOT, HERE, HERE.parent / "entry_points"]
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places)), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
