"""A plan of 2,000 cells in a process of its own: torch stays out. How long it takes: benchmarks/plan_speed.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from suites_for_tests import suite_text

SECTIONS = {
    "models": "[random:llama-7b, random:opt-1.3b, random:roberta-large, path:bert, hub:a/b]",
    "quantization": "[none, bnb-int8, bnb-nf4, bnb-nf4-dq, bnb-fp4]",
    "methods": "[none, full, {id: lora-r4, method: lora, r: 4}, {id: lora-r8, method: lora, train: {learning_rate: 1e-3}}]",
    "tasks": "[{task: glue/rte, data: rte}, glue/mrpc, wikitext2, mmlu]",
    "seeds": "[0, 1, 2, 3, 4]",
}
CODE = """
import sys
from harness.cli import plan
import typer
app = typer.Typer()
app.command()(plan.plan_command)
app(sys.argv[1:], standalone_mode=False)
heavy = {"torch", "transformers", "peft", "datasets", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.slow
def test_two_thousand_cells_are_planned_without_torch(tmp_path: Path, rte: Path, model_folder: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(suite_text("train: {adam_beta1: 0.8}", **SECTIONS))
    done = subprocess.run([sys.executable, "-c", CODE, str(path), "--device", "cpu"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "small: 2,000 cells" in done.stdout
