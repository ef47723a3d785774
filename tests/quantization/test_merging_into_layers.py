"""What PEFT merges into quantized layers without an error, and wrongly, is refused; into the dequantized ones it is right."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from layers import loaded, logits, relative, scheme

from harness.errors import Unsupported
from harness.methods.base import METHODS
from harness.methods.lora import Lora

LORA = METHODS.get("lora").model_validate({"method": "lora", "r": 4})


def tuned(base: Any) -> Any:
    """LoRA with an update that is not zero."""
    torch.manual_seed(1)
    return peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")).eval()


@pytest.mark.parametrize(("name", "reason"), [("hqq-4bit", "leaves out biases"), ("quanto-int8", "without effect")])
def test_merging_into_quantized_layers_is_refused_and_into_dequantized_ones_right(name: str, reason: str) -> None:
    assert isinstance(LORA, Lora)
    of = scheme(name)
    with pytest.raises(Unsupported, match=reason):
        LORA.merged(tuned(loaded(of, "decoder")))
    ordinary = tuned(of.dequantized(loaded(of, "decoder")))
    expected = logits(ordinary)
    assert relative(logits(LORA.merged(ordinary)), expected) < 1e-5
    assert relative(logits(loaded(of, "decoder")), expected) > 1e-2, "the update changes the answers"
