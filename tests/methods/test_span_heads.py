"""A span head on an encoder: tuned, saved and turned off by every method as a classification head is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trials import failed, method, trial

from harness.errors import Unsupported
from harness.models.base import ModelConfig
from harness.models.load import load_model
from harness.quantization.base import SCHEMES
from harness.tasks.base import Head

SPAN = Head("question-answering", labels=2)


@pytest.mark.parametrize(("name", "fields"), [("full", {}), ("bitfit", {}), ("lora", {"r": 4, "target_modules": "all-linear"}), ("pfeiffer", {}), ("prefix-tuning", {})])
def test_a_method_tunes_and_saves_the_span_head(name: str, fields: dict[str, object], tmp_path: Path) -> None:
    made = trial(method(name, **fields), "bert", tmp_path, head=SPAN)
    assert made.attachment.anatomy.head == 2 * made.base.config.hidden_size + 2
    checks = made.run()
    assert failed(checks) == []
    assert {check.name for check in checks if check.passed} >= {"counts", "trains", "gradients", "moves", "frozen"}


def test_segment_ids_reach_the_model_below_peft(tmp_path: Path) -> None:
    """PEFT's own wrapper for question answering drops them without a word."""
    made = trial(method("lora", r=4, target_modules="all-linear"), "bert", tmp_path, head=SPAN)
    inputs = {name: made.inputs[name] for name in ("input_ids", "attention_mask")}
    types = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        model, base = made.attached().eval(), made.base.eval()
        assert torch.equal(model(**inputs, token_type_ids=types).start_logits, base(**inputs, token_type_ids=types).start_logits)
        assert not torch.equal(base(**inputs, token_type_ids=types).start_logits, base(**inputs).start_logits)


@pytest.mark.parametrize("name", ["prompt-tuning", "p-tuning"])
def test_virtual_tokens_before_a_span_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="PEFT doesn't move a span's ends behind the virtual tokens"):
        trial(method(name), "bert", tmp_path, head=SPAN).attached()


def test_a_head_over_a_base_that_was_not_loaded_is_refused(tmp_path: Path) -> None:
    """transformers looks for a Llama's weights under another name below a span head, finds none, and draws them."""
    with pytest.raises(Unsupported, match="LlamaForQuestionAnswering finds none of the weights below its head in micro:decoder"):
        load_model(ModelConfig(source="micro:decoder"), SPAN, SCHEMES.get("none")(scheme="none"), "cpu", tmp_path)
