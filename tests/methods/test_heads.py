"""The new task head learns in float32 over a 16-bit base, is saved and reloaded in it, and the frozen one stays as it was."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from trials import CLASSIFY, failed, method, trial

from harness.methods.trial import Trial

HALF = torch.bfloat16


def over_bfloat16(of: str, family: str, folder: Path) -> Trial:
    tried = trial(method(of), family, folder, head=CLASSIFY)
    base = tried.load()
    tried.load = lambda: copy.deepcopy(base).to(HALF)
    return tried


PAIRS = [(of, family) for of in ("lora", "houlsby", "bitfit") for family in ("bert", "roberta", "deberta-v2")]


@pytest.mark.parametrize(("of", "family"), [*PAIRS, ("lora", "llama"), ("houlsby", "llama")])
def test_the_tuned_head_is_in_float32_and_the_base_is_not(of: str, family: str, tmp_path: Path) -> None:
    tried = over_bfloat16(of, family, tmp_path)
    model = tried.method.attach(tried.load(), tried.attachment)
    heads = {module.name for module in tried.attachment.anatomy.modules if module.in_head}
    of_head = [
        parameter for name, parameter in model.named_parameters()
        if parameter.requires_grad and any(f"{head.split('.')[0]}." in name for head in heads)
    ]  # fmt: skip
    assert of_head
    assert {parameter.dtype for parameter in of_head} == {torch.float32}
    assert any(parameter.dtype == HALF for parameter in model.parameters() if not parameter.requires_grad)
    assert any("float32 over a bfloat16 base" in note for note in tried.attachment.notes)
    loss = tried.loss(model)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in of_head)
    with torch.autocast("cpu", dtype=HALF):
        assert tried.loss(model).isfinite()


def test_a_reloaded_head_has_the_bits_that_were_saved(tmp_path: Path) -> None:
    tried = over_bfloat16("lora", "bert", tmp_path)
    model = tried.method.attach(tried.load(), tried.attachment)
    name = next(name for name, _ in model.named_parameters() if "modules_to_save" in name and name.endswith("weight"))
    with torch.no_grad():
        dict(model.named_parameters())[name].add_(1e-4)  # less than bfloat16 can tell apart
    tried.method.save(model, tmp_path / "saved")
    again = tried.method.reload(tried.load(), tmp_path / "saved", tried.attachment)
    assert torch.equal(dict(again.named_parameters())[name], dict(model.named_parameters())[name])
    assert torch.equal(tried.logits(again), tried.logits(model))


def test_turned_off_the_base_answers_bit_by_bit_with_its_own_head(tmp_path: Path) -> None:
    tried = over_bfloat16("lora", "bert", tmp_path)
    expected = tried.logits(tried.load())
    model = tried.method.attach(tried.load(), tried.attachment)
    with tried.method.off(model):
        assert torch.equal(tried.logits(model), expected)


def test_a_float32_base_gets_no_note_and_no_hook(tmp_path: Path) -> None:
    tried = trial(method("lora"), "bert", tmp_path)
    assert failed(tried.run()) == []
    assert not tried.attachment.notes
