"""LoRA beside packed weights on a CPU: every check of a method's trial, on the checkpoint that a cell would load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from jobs import LANGUAGE, model_config, scheme
from packed_models import CLASSIFY, loaded, quantized, tiny

from harness.methods.base import METHODS, Attachment
from harness.methods.trial import Trial
from harness.models.dissect import anatomy_of
from harness.models.facts import read_facts
from harness.models.load import head_modules
from harness.runs.phases.probe import two_steps
from harness.tasks.base import Head

NOT_MERGED = "Cannot merge LORA layers when the model is gptq quantized"


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rtn")
    return quantized(scheme("rtn-4bit", group_size=32), tiny("llama", folder / "source"), folder / "entry").folder


def batch(head: Head) -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 1700, (4, 12), generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 1, 0]) if head is CLASSIFY else ids
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


@pytest.mark.parametrize("head", [LANGUAGE["decoder"], CLASSIFY], ids=lambda head: head.kind)
def test_lora_trains_reloads_and_turns_off_beside_packed_weights(entry: Path, tmp_path: Path, head: Head) -> None:
    of, facts = scheme("rtn-4bit", group_size=32), read_facts(model_config(entry))
    assert facts is not None

    def load() -> Any:
        return loaded(of, entry, head)

    base = load()
    method = METHODS.get("lora").model_validate({"method": "lora", "r": 4, "target_modules": "all-linear"})
    heads = head_modules(base) if head is CLASSIFY else []
    tokenizer = transformers.AutoTokenizer.from_pretrained(entry)
    attachment = Attachment(facts, anatomy_of(base, heads), of, head.kind, 12, False, 0, [], tokenizer, None)
    rows = batch(head)
    checks = Trial(method, load, attachment, rows, tmp_path, None, two_steps(method, rows, attachment, tmp_path, "cpu")).run()
    assert [check for check in checks if check.passed is False] == []
    merging = next(check for check in checks if check.name == "merges")
    assert NOT_MERGED in merging.detail


def test_lora_merges_into_the_dequantized_model(entry: Path, tmp_path: Path) -> None:
    import peft

    of = scheme("rtn-4bit", group_size=32)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    torch.manual_seed(0)
    tuned = peft.get_peft_model(loaded(of, entry), config)
    tuned.save_pretrained(tmp_path)
    merged = peft.PeftModel.from_pretrained(of.dequantized(loaded(of, entry)), str(tmp_path)).merge_and_unload()
    rows = {name: tensor for name, tensor in batch(LANGUAGE["decoder"]).items() if name != "labels"}
    with torch.no_grad():
        expected, found = tuned.eval()(**rows).logits, merged.eval()(**rows).logits
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))
