"""Loading under every scheme, counts and bytes, random weights, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from harness.errors import HarnessError
from harness.models.base import ModelConfig
from harness.models.load import head_modules, load_facts, load_model
from harness.models.sizes import count_parameters, model_bytes
from harness.quantization.base import SCHEMES, Scheme
from harness.tasks.base import Head

CLASSIFY, GENERATE = Head("sequence-classification", 2), Head("causal-lm")


def scheme(name: str, **fields: object) -> Scheme:
    return SCHEMES.get(name)(scheme=name, **fields)


def load(source: str, head: Head, of: Scheme, tmp_path: Path, **fields: object):
    config = ModelConfig(source=source, **fields)
    return load_model(config, head, of, "cpu", tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_unquantized_scheme_stores_weights_as_the_dtype_says(dtype: str, tmp_path: Path) -> None:
    model = load("micro:decoder", GENERATE, scheme("none"), tmp_path, dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}
    assert model_bytes(model) >= count_parameters(model).total * (4 if dtype == "float32" else 2)


@pytest.mark.parametrize("name", ["bnb-int8", "bnb-nf4", "bnb-nf4-dq", "bnb-fp4"])
@pytest.mark.parametrize(("source", "head"), [("micro:encoder", CLASSIFY), ("micro:decoder", CLASSIFY), ("micro:decoder", GENERATE), ("micro:seq2seq", Head("seq2seq-lm")), ("micro:seq2seq", CLASSIFY)])
def test_quantized_models_keep_their_head_and_their_parameter_count(name: str, source: str, head: Head, tmp_path: Path) -> None:
    import bitsandbytes

    plain = load(source, head, scheme("none"), tmp_path, dtype="float32")
    model = load(source, head, scheme(name), tmp_path, dtype="float32")
    kinds = (bitsandbytes.nn.Linear8bitLt, bitsandbytes.nn.Linear4bit)
    quantized = [module_name for module_name, module in model.named_modules() if isinstance(module, kinds)]
    behind = {"lm_head", *(head_modules(model) if head is CLASSIFY else ())}
    assert len(quantized) > 5
    assert not [module_name for module_name in quantized if module_name.split(".")[0] in behind]
    assert count_parameters(model).total == count_parameters(plain).total
    assert model_bytes(model) < 0.75 * model_bytes(plain)


def test_double_quantization_saves_about_what_the_paper_says(minilm: Path, tmp_path: Path) -> None:
    """QLoRA, sec. 3: 0.373 bit per parameter; the constants' own 256-entry code makes it a little less on 10 M weights."""
    single, double = (load(f"path:{minilm}", CLASSIFY, scheme(name), tmp_path) for name in ("bnb-nf4", "bnb-nf4-dq"))
    import bitsandbytes

    weights = sum(module.in_features * module.out_features for module in single.modules() if isinstance(module, bitsandbytes.nn.Linear4bit))
    saved = 8 * (model_bytes(single) - model_bytes(double)) / weights
    assert 0.30 < saved < 0.373


def test_fields_of_a_scheme_reach_bitsandbytes(tmp_path: Path) -> None:
    config = scheme("bnb-nf4", double_quant=True, compute_dtype="bfloat16", skip_modules=["q_proj"]).quantization_config(torch.float32, ["lm_head"])
    assert (config.bnb_4bit_use_double_quant, config.bnb_4bit_compute_dtype, config.llm_int8_skip_modules) == (True, torch.bfloat16, ["q_proj"])
    config = scheme("bnb-int8", threshold=0.0).quantization_config(torch.float32, ["lm_head"])
    assert (config.llm_int8_threshold, config.llm_int8_skip_modules) == (0.0, ["lm_head"])
    assert scheme("bnb-fp4").quantization_config(torch.float16, []).bnb_4bit_compute_dtype is torch.float16


def test_random_weights_are_made_once_and_are_the_same_every_time(tmp_path: Path) -> None:
    shape = tmp_path / "tiny"
    shape.mkdir()
    values = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 4096, "max_position_embeddings": 128}
    (shape / "config.json").write_text(json.dumps(values))
    first = load(f"random:{shape}", GENERATE, scheme("none"), tmp_path / "a")
    folder = next(path for path in (tmp_path / "a" / "random").iterdir() if path.is_dir())
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    load(f"random:{shape}", GENERATE, scheme("bnb-nf4"), tmp_path / "a")
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    second = load(f"random:{shape}", GENERATE, scheme("none"), tmp_path / "b")
    assert first.dtype == torch.bfloat16
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


def test_a_hub_model_that_cannot_be_reached_says_so_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="cannot load the files of hub:nobody/nothing-here") as caught:
        load_facts(ModelConfig(source="hub:nobody/nothing-here"), tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    from harness.micro import model_path

    for file in model_path("decoder").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00garbage!")
    with pytest.raises(HarnessError, match="cannot load the model of path:"):
        load(f"path:{tmp_path}", GENERATE, scheme("none"), tmp_path)
