"""The gate on real cells: no alarm where nothing was changed, and every injected fault caught by its name.

Faults come from tests/plugins/gate_faults, behind an unchanged definition of the cells: nothing in the suite tells.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from harness.analysis.gate.compare import Comparison, compare, compare_paths
from harness.analysis.gate.sides import run_side
from harness.records.noise import REPEATS
from harness.suite.gate import Gate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests" / "plugins" / "gate_faults"
NOISE_REPEATS, NIGHTS = 4, 3  # seven runs: 21 pairs
SUITE = {
    "name": "gate",
    "models": [{"id": "decoder", "source": "micro:decoder", "dtype": "bfloat16"}, {"id": "encoder", "source": "micro:encoder", "dtype": "bfloat16"}],
    "quantization": [{"id": "bf16", "scheme": "unquantized-under-test"}],
    "methods": [{"id": "lora", "method": "lora-under-test", "r": 8, "target_modules": "all-linear", "train": {"learning_rate": 5e-3}}],
    "tasks": [
        {"id": "wikitext2", "task": "wikitext2", "data": "micro", "train": {"max_steps": 12}},
        {"id": "sst2", "task": "sst2-under-test", "data": "micro", "max_eval_samples": 200, "train": {"max_steps": 16}},
    ],
    "train": {"per_device_train_batch_size": 8, "max_length": 32},
    "measure": {"warmup_steps": 2},
    "exclude": [{"model": "decoder", "task": "sst2"}, {"model": "encoder", "task": "wikitext2"}],
}  # fmt: skip


def harness(folder: Path, *arguments: str, fault: str = "") -> None:
    """Runs the command in `folder` with the plugin installed and that fault in it."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{PLUGIN}", "GATE_FAULT": fault, "OMP_NUM_THREADS": "1", "HARNESS_CACHE": str(folder / "cache")}
    done = subprocess.run([sys.executable, "-m", "harness", *arguments], cwd=folder, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == (1 if fault == "dies" else 0), done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the suite and all runs are."""
    path = tmp_path_factory.mktemp("gate")
    (path / "gate.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def base(folder: Path) -> Path:
    """The run that the others are compared with, and its noise."""
    harness(folder, "noise", "gate.yaml", "--repeats", str(NOISE_REPEATS), "--out", "base", "--device", "cpu")
    return folder / "base"


def night(folder: Path, name: str, fault: str = "") -> Path:
    """One more run of the suite."""
    harness(folder, "run", "gate.yaml", "--out", name, "--device", "cpu", fault=fault)
    return folder / name


def caught(found: Comparison) -> set[str]:
    """Names of everything that fails the gate."""
    return {change.number.quantity.key for change in found.worse} | {event.kind for event in found.regressions}


def test_no_alarm_in_twenty_comparisons_of_runs_in_which_nothing_was_changed(folder: Path, base: Path) -> None:
    """Runs in pairs, each pair by the noise of the base."""
    noise = run_side(base).noise
    repeats = [base / REPEATS / str(number) for number in range(2, NOISE_REPEATS + 1)]
    runs = [run_side(path) for path in [base, *repeats, *(night(folder, f"night{number}") for number in range(NIGHTS))]]
    pairs = list(combinations(runs, 2))
    assert len(pairs) >= 20
    alarms = [f"{left.name} {right.name}: {', '.join(sorted(caught(found)))}" for left, right in pairs if (found := compare(replace(left, noise=noise), right, Gate())).exit_code]
    assert alarms == []


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("learning-rate", "perplexity"), ("labels", "other data"), ("four-bit", "other weights"), ("slow", "training.step_ms.p50"),
        ("leak", "memory.peak_vram"), ("dies", "failed"),
    ],
)  # fmt: skip
def test_an_injected_fault_is_caught_by_name(folder: Path, base: Path, fault: str, name: str) -> None:
    found = compare_paths(str(base), night(folder, fault, fault))
    assert found.exit_code == 1
    assert name in caught(found)
    if fault == "four-bit":
        assert found.suspects[0].sentence.startswith("how weights are stored changed behind an unchanged definition")
