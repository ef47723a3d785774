"""What cells are forked from: everything imported, CUDA untouched, and no surprise when an import fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from preloaded import tell, use_cuda

from harness.runs import forkserver
from harness.runs.stop import Stop

START = """
from harness.errors import HarnessError
from harness.runs import forkserver
from harness.runs.stop import Stop
try:
    forkserver.start(Stop())
except HarnessError as error:
    print(error)"""


def ask(target: Any) -> Any:
    """What a process of the fork server answers."""
    assert forkserver.start(Stop()) is not None
    answer, question = forkserver.context().Pipe(duplex=False)
    process = forkserver.fork(target, question)
    question.close()
    found = answer.recv()
    process.join()
    return found


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    places = os.pathsep.join(filter(None, [environment.pop("first", ""), str(root)]))
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment | {"PYTHONPATH": places}, text=True, capture_output=True, timeout=120
    )


def test_a_cell_starts_with_everything_imported_and_cuda_untouched() -> None:
    found = ask(tell)
    assert found["modules"] == {"torch", "transformers.trainer", "peft", "sklearn.metrics", "harness.runs.cell"}
    assert found["server"]
    assert found["cuda"] is False
    assert found["main"] is None, "the main script is not run again"
    assert found["tokenizers"] == "false"
    assert found["torch"] == found["numpy"] == 512**3, "thread pools work after the fork"


@pytest.mark.gpu
def test_a_cell_gets_a_cuda_context_of_its_own_and_bitsandbytes() -> None:
    ones, dequantized = ask(use_cuda)
    assert ones == 64 * 64
    assert dequantized == pytest.approx(64 * 64)


@pytest.mark.slow
def test_peft_is_imported_without_bitsandbytes_and_finds_it_afterwards() -> None:
    # what the server does where there is a GPU: everything but the GPU can be tried here
    code = """
import sys
import torch
torch.cuda.is_available = lambda: True
from harness.runs import preload
assert "peft" in sys.modules and "transformers.trainer" in sys.modules
assert not [name for name in sys.modules if name.startswith("bitsandbytes")]
torch.cuda.is_available = lambda: False
import accelerate.utils, transformers.utils, peft.import_utils
assert transformers.utils.is_bitsandbytes_available() and accelerate.utils.is_bnb_available()
assert peft.import_utils.is_bnb_available() and peft.import_utils.is_bnb_4bit_available()
import bitsandbytes
from peft.tuners.lora import Linear4bit
from transformers import LlamaConfig, LlamaForCausalLM
model = LlamaForCausalLM(LlamaConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, vocab_size=8))
layer = bitsandbytes.nn.Linear4bit(64, 64, bias=False, quant_type="nf4")
model.model.layers[0].self_attn.q_proj = layer.to("cpu")
model.is_loaded_in_4bit = True
tuned = peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"]))
assert isinstance(tuned.base_model.model.model.layers[0].self_attn.q_proj, Linear4bit)
"""
    result = python(code)
    assert result.returncode == 0, result.stderr


def test_an_import_that_fails_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object file')")
    result = python(START, first=str(tmp_path))
    assert result.stdout.strip() == (
        "the fork server could not import harness.runs.preload: ImportError: libcudart.so.13: cannot open shared object file"
    )
    assert "Traceback" not in result.stderr


def test_a_file_of_the_working_directory_does_not_hide_a_library(tmp_path: Path) -> None:
    library, desk = tmp_path / "library", tmp_path / "desk"
    for folder in (library, desk):
        folder.mkdir()
        (folder / "torch.py").write_text(f"raise ImportError('torch of the {folder.name}')")
    code = f"""
import os, sys
os.chdir({str(desk)!r})
sys.path.remove("")
{START}"""
    assert "torch of the library" in python(code, first=str(library)).stdout
