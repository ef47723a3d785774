"""A real pre-trained encoder on real data: all-MiniLM-L6-v2 on 500 rows of SST-2, in full precision and on NF4."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.records.schema import Record
from harness.records.store import RecordStore

SUITE = """
name: minilm_sst2
title: MiniLM on SST-2
models: [{{id: minilm, source: "path:{model}", dtype: float32}}]
quantization: [none, bnb-nf4-dq]
methods:
  - {{id: full, method: full, train: {{learning_rate: 1e-4}}}}
  - {{id: lora, method: lora, r: 8, lora_alpha: 16, target_modules: all-linear, train: {{learning_rate: 2e-3}}}}
tasks: [{{id: sst2, task: glue/sst2, data: "{data}", max_train_samples: 500, max_eval_samples: 400}}]
seeds: [0]
train: {{num_train_epochs: 2, per_device_train_batch_size: 16, per_device_eval_batch_size: 64, max_length: 64, warmup_steps: 0.1}}
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def records(minilm: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp("minilm")
    (folder / "suite.yaml").write_text(SUITE.format(model=minilm, data=shared_data / "glue"))
    command = [sys.executable, "-m", "harness", "run", "suite.yaml", "--out", "run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return RecordStore(folder / "run").read_all()[0]


def test_tuning_lifts_accuracy_well_above_the_majority_class(records: list[Record]) -> None:
    tuned = [record for record in records if record.outcome.status == "ok"]
    assert len(tuned) == 3
    for record in tuned:
        accuracy = {entry.when: entry.value for entry in record.metrics if entry.name == "accuracy"}
        assert accuracy["after"] > 0.70, (record.cell.method, record.cell.quantization, accuracy)  # the majority class has about 0.51
        assert accuracy["before"] < 0.65


def test_full_tuning_on_nf4_is_unsupported_with_the_reason(records: list[Record]) -> None:
    refused = [record for record in records if record.outcome.status == "unsupported"]
    assert [(record.cell.method, record.cell.quantization) for record in refused] == [("full", "bnb-nf4-dq")]
    assert "stores them quantized" in str(refused[0].outcome.message)
