"""What a plan is told of merging, and what merging does: they agree, for every method."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trials import method, trial

from harness.errors import Unsupported
from harness.methods.any_peft import OUT_OF_REACH, UNMERGEABLE
from harness.methods.base import METHODS, Method

SIZES = {"prefix-tuning": {"prefix_hidden": 16}, "unipelt": {"prefix_hidden": 16}, "mam": {"prefix_hidden": 16}, "vera": {"r": 8}, "top-k": {"k": 1}}
TUNING = [name for name, cls in METHODS.items() if cls.tunes and cls.__module__.startswith("harness.methods") and name != "peft"]
PEFT = {
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 1}, "CARTRIDGE": {"num_virtual_tokens": 4}, "CPT": {"cpt_token_ids": [5, 6]},
    "LILY": {}, "SHADOW": {}, "OFT": {}, "SHIRA": {"r": 4}, "MISS": {"r": 8},
}  # fmt: skip


def agrees(tried: Method, family: str, folder: Path) -> bool:
    """Whether merging raises Unsupported exactly if the plan was told so; the merged model has the tuned one's logits."""
    of = trial(tried, family, folder)
    model = of.attached()
    with torch.no_grad():  # what adds nothing yet would be merged right however it is merged
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.01)
    tuned, reason = of.logits(model), of.method.unmergeable()
    try:
        merged = of.method.merged(model)
    except Unsupported as refusal:
        return str(refusal) == reason
    assert torch.allclose(of.logits(merged), tuned, atol=1e-4)
    return reason is None


@pytest.mark.parametrize("name", TUNING)
def test_a_method_merges_if_it_says_that_it_does(name: str, tmp_path: Path) -> None:
    assert agrees(method(name, **SIZES.get(name, {})), "opt", tmp_path)


@pytest.mark.parametrize("peft_type", PEFT)
def test_so_does_every_type_of_peft(peft_type: str, tmp_path: Path) -> None:
    assert agrees(method("peft", peft_type=peft_type, **PEFT[peft_type]), "llama", tmp_path)


def test_no_type_that_cannot_be_merged_is_forgotten() -> None:
    assert set(UNMERGEABLE) == {name for name in PEFT if method("peft", peft_type=name, **PEFT[name]).unmergeable()} | set(OUT_OF_REACH)


@pytest.mark.parametrize(
    "fields", [{"layer_replication": [[0, 2], [1, 2]]}, {"alora_invocation_tokens": [5]}, {"use_qalora": True}]
)
def test_a_field_of_lora_that_keeps_it_from_merging_says_so_in_the_plan(fields: dict[str, object]) -> None:
    assert method("lora", **fields).unmergeable()
    assert method("lora").unmergeable() is None
