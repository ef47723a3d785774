"""`harness init NAME`: a commented suite to start from, which plans and runs as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

STARTER = """\
# What a key means: docs/suites.md, or `harness schema suite`. Names: `harness list models|schemes|methods|tasks`.
#   harness plan {name}     shows the cells and what cannot run here
#   harness run {name}      runs them; repeat it after an interruption and it goes on
name: {name}
title: LoRA against full fine-tuning

models:
  # hub:<owner>/<name>, path:<folder>, micro:<name> (ships with harness) or random:<shape> (memory and speed only)
  - {{id: micro-encoder, source: micro:encoder}}

quantization: [none, bnb-nf4-dq]

methods:
  - none                                       # the model as it is: what tuning is compared with
  - {{id: full, method: full, train: {{learning_rate: 1e-3}}}}
  - {{id: lora-r8, method: lora, r: 8, lora_alpha: 16, target_modules: all-linear}}

tasks:
  # data: hub (the default), micro (ships with harness), or a folder with files of the same columns
  - {{id: sst2, task: glue/sst2, data: micro, max_eval_samples: 200}}

seeds: [0]

# sweep: {{train.learning_rate: [1e-4, 3e-4]}} # a further axis, one cell per value

train:                                         # transformers' TrainingArguments by their own names, and max_length
  max_steps: 60
  per_device_train_batch_size: 16
  learning_rate: 3e-3
  max_length: 64

exclude:
  - {{method: full, quantization: "bnb-*"}}    # quantized weights cannot be tuned themselves

report:
  tables:
    - {{rows: [method, quantization], columns: [task], metric: accuracy}}
  plots:
    - {{kind: pareto, x: memory.peak_vram, y: accuracy}}
"""


def init_command(
    name: Annotated[str, typer.Argument(help="Name of the suite: letters, digits and . _ - + =")],
) -> None:
    """Write suites/NAME.yaml, a commented suite to start from."""
    from harness.errors import RequestError
    from harness.records.store import write_atomically
    from harness.suite.ids import id_trouble

    trouble = id_trouble(name)
    if trouble is not None:
        raise RequestError(trouble)
    path = Path("suites") / f"{name}.yaml"
    if path.exists():
        raise RequestError(f"{path} is there already; take another name, or delete it first")
    write_atomically(path, STARTER.format(name=name))
    print(f"wrote {path}\nnext: harness plan {path}")
