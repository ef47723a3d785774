"""Models under schemes that quantize while loading, and what they answer: shared by the tests of these schemes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from harness.micro import model_path
from harness.models.base import ModelConfig
from harness.models.load import load_model
from harness.models.random_weights import materialise
from harness.models.source import cache_folder
from harness.quantization.base import SCHEMES, Scheme
from harness.tasks.base import Head

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

CLASSIFY = Head("sequence-classification", 2, "single_label_classification")
HEADS = {"decoder": Head("causal-lm"), "encoder": CLASSIFY, "seq2seq": Head("seq2seq-lm")}


def scheme(name: str, **fields: object) -> Scheme:
    return SCHEMES.get(name).model_validate({"scheme": name, **fields})


def loaded(of: Scheme, kind: str | Path, head: Head | None = None, dtype: str = "float32") -> Any:
    """A micro model by its name, or the model in a folder, loaded under the scheme from the same seed every time."""
    torch.manual_seed(0)
    folder = kind if isinstance(kind, Path) else model_path(kind)
    return load_model(ModelConfig(source=f"path:{folder}", dtype=dtype), head or HEADS[str(kind)], of, "cpu", Path())


def logits(model: Any) -> torch.Tensor:
    """Of 24 tokens, in float32."""
    tokens = torch.arange(10, 34)[None]
    inputs = {"input_ids": tokens} | ({"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {})
    with torch.no_grad():
        return model(**inputs).logits.float()


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The norm of the difference, relative to that of what was expected."""
    return float((found - expected).norm() / expected.norm())


def one_layer(rows: int, columns: int, folder: Path) -> Path:
    """A tiny llama whose output of attention, o_proj, is a matrix of that many rows and columns."""
    config = transformers.LlamaConfig(
        hidden_size=rows, intermediate_size=columns, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=4,
        head_dim=columns // 4, vocab_size=64, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def without(tensors: str, folder: Path) -> Path:
    """The micro encoder's checkpoint without the tensors whose name contains that."""
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(model_path("encoder"), folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor for name, tensor in weights.items() if tensors not in name}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def tiny(family: str) -> Path:
    """A tiny random model of a family."""
    return materialise(f"tiny-{family}", ModelConfig(source=f"random:tiny-{family}", dtype="float32"), cache_folder())
