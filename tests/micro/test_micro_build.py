"""The rebuild command writes folders that load, from nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from harness.micro import data_path, model_path

ROOT = Path(__file__).parents[2]


def build(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "harness.micro.build", *arguments], cwd=ROOT, check=True, capture_output=True)


def test_data_are_rebuilt_to_the_byte(tmp_path: Path) -> None:
    build("--only", "data", "--out", str(tmp_path))
    for name in ("wikitext", "glue/rte", "mmlu"):
        for made in (tmp_path / "data" / name).glob("*.parquet"):
            assert made.read_bytes() == (data_path(name) / made.name).read_bytes()


@pytest.mark.slow
def test_a_few_steps_make_an_encoder_with_the_embedded_vocabulary(tmp_path: Path) -> None:
    build("--only", "encoder", "--steps", "2", "--out", str(tmp_path))
    folder = tmp_path / "models" / "encoder"
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == AutoTokenizer.from_pretrained(model_path("encoder")).get_vocab()
    assert AutoModelForMaskedLM.from_pretrained(folder).dtype == torch.float32
