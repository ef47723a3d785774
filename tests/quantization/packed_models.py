"""A tiny trained-like decoder, and what the schemes of gptqmodel make of it: shared by their tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from jobs import LANGUAGE, job, model_config

from harness.micro import model_path
from harness.models.load import load_model
from harness.quantization.base import Scheme
from harness.quantization.job import QuantizationJob
from harness.tasks.base import Head

CLASSIFY = Head("sequence-classification", 2, "single_label_classification")


def tiny(model_type: str, folder: Path) -> Path:
    """A checkpoint of two layers of 64 with the micro decoder's tokenizer, its weights drawn from one seed; every third input has a large one."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    special = {"vocab_size": 1735, "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(model_type, **sizes, **special))
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.05)
            parameter.data[:, ::3] *= 4
    model.save_pretrained(folder)
    for file in model_path("decoder").glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


def quantized(of: Scheme, source: Path, folder: Path, samples: int = 0, length: int = 64, head: Head | None = None) -> QuantizationJob:
    """The job after the scheme has done it; its folder is `folder`."""
    made = job(source, folder, samples=samples, length=length, head=head)
    of.quantize(made)  # type: ignore[attr-defined]
    return made


def loaded(of: Scheme, folder: Path, head: Head = LANGUAGE["decoder"]) -> Any:
    """The entry as a cell loads it, for tuning on a CPU; new heads are drawn from one seed."""
    torch.manual_seed(0)
    model = load_model(model_config(folder), head, of.loaded_for("cpu", True), "cpu", Path())
    of.restore(model, folder)  # type: ignore[attr-defined]
    return model


def logits(model: Any) -> torch.Tensor:
    """Of two rows of 32 tokens, in eval mode."""
    ids = torch.randint(3, 1700, (2, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(ids).logits.float()


def error(of: torch.Tensor, against: torch.Tensor) -> float:
    """Relative error in the Frobenius norm."""
    return float((of - against).norm() / against.norm())
