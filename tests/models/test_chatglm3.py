"""ChatGLM3-6B's published figures, which follow from its shape alone (suites/references/glm.yaml): they must come out to the last digit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from torch import nn

import harness
from harness.models.anatomy import Anatomy
from harness.models.base import ModelConfig
from harness.models.skeletons import anatomies
from harness.tasks.base import Head

LAYERS, WIDTH, HEADS, GROUPS, HEAD_WIDTH = 28, 4096, 32, 2, 128
PUBLISHED = {"trainable": 974_848, "all": 6_244_558_848, "steps": 1790, "nf4_mib": 3739.69}


@pytest.fixture(scope="module")
def model() -> Any:
    """The native GLM class in that shape, without memory behind its weights."""
    shape = json.loads((Path(harness.__file__).parent / "models" / "shapes" / "chatglm3-6b.json").read_text())
    kind = shape.pop("model_type")
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **shape), dtype=torch.float16)


def test_rank_4_on_the_fused_projection_trains_974_848_of_6_244_558_848_parameters(model: Any) -> None:
    """ChatGLM3's own code computes query, key and value in one projection; the native class in three, with as many weights."""
    fused = HEADS * HEAD_WIDTH + 2 * GROUPS * HEAD_WIDTH
    with torch.device("meta"):
        layers = nn.ModuleDict({f"layer_{at}": nn.ModuleDict({"query_key_value": nn.Linear(WIDTH, fused)}) for at in range(LAYERS)})
        tuned = peft.LoraModel(layers, peft.LoraConfig(r=4, target_modules=["query_key_value"]), "default")
    trainable = sum(parameter.numel() for parameter in tuned.parameters() if parameter.requires_grad)
    attention = [projection for layer in model.model.layers for name in ("q_proj", "k_proj", "v_proj") for projection in getattr(layer.self_attn, name).parameters()]
    assert sum(parameter.numel() for parameter in attention) == LAYERS * (WIDTH + 1) * fused
    assert trainable == PUBLISHED["trainable"]
    assert sum(parameter.numel() for parameter in model.parameters()) + trainable == PUBLISHED["all"]


def test_an_epoch_of_adgen_is_1790_whole_steps_of_64_rows() -> None:
    """transformers 5 takes the 39 rows that are left as one more step; the figure counts whole ones."""
    assert divmod(114_599, 16 * 4) == (PUBLISHED["steps"], 39)


def test_nf4_with_double_quantization_loads_in_3_739_69_mib(model: Any) -> None:
    """As transformers' get_memory_footprint counts it: two weights a byte, and embeddings, head, norms and biases in float16; the
    constants are no parameters, and it leaves them out."""
    quantized = [module.weight.numel() for name, module in model.named_modules() if isinstance(module, nn.Linear) and name != "lm_head"]
    rest = sum(parameter.numel() for parameter in model.parameters()) - sum(quantized)
    assert round((sum(quantized) / 2 + rest * 2) / 2**20, 2) == PUBLISHED["nf4_mib"]


def test_the_harness_counts_as_many_parameters(tmp_path: Path) -> None:
    (anatomy,) = anatomies([(ModelConfig(source="random:chatglm3-6b"), Head("causal-lm"))], tmp_path)
    assert isinstance(anatomy, Anatomy)
    assert anatomy.total == PUBLISHED["all"] - PUBLISHED["trainable"]
