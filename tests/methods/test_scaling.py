"""(IA)^3 and LayerNorm tuning: tried for real on every family, and where they put their vectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import Unsupported
from tests.methods.trials import FAMILIES, failed, method, trial


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["ia3", "layernorm"])
def test_the_formula_counts_what_is_trained_on_every_family(name: str, family: str, tmp_path: Path) -> None:
    tried = trial(method(name), family, tmp_path)
    trained = sum(parameter.numel() for parameter in tried.attached().parameters() if parameter.requires_grad)
    assert trained == tried.method.count(tried.attachment.anatomy) + tried.attachment.anatomy.head


@pytest.mark.parametrize(("name", "family"), [("ia3", "roberta"), ("ia3", "gpt2"), ("layernorm", "bart"), ("layernorm", "glm")])
def test_every_check_holds(name: str, family: str, tmp_path: Path) -> None:
    assert failed(trial(method(name), family, tmp_path).run()) == []


@pytest.mark.parametrize(("name", "scheme"), [("ia3", "bnb-nf4"), ("layernorm", "bnb-int8")])
def test_every_check_holds_on_quantized_weights(name: str, scheme: str, tmp_path: Path) -> None:
    checks = trial(method(name), "llama", tmp_path, scheme=scheme).run()
    assert failed(checks) == []
    merges = next(check for check in checks if check.name == "merges")
    assert (merges.passed is None) == (name == "ia3"), merges


@pytest.mark.parametrize(("family", "inputs", "outputs"), [("t5", {"wo"}, {"k", "v"}), ("gpt2", {"c_proj"}, {"c_attn"}), ("llama", {"down_proj"}, {"k_proj", "v_proj"})])
def test_keys_and_values_are_scaled_and_the_inner_activations(family: str, inputs: set[str], outputs: set[str], tmp_path: Path) -> None:
    model = trial(method("ia3"), family, tmp_path).attached()
    scaled = {name: module for name, module in model.named_modules() if hasattr(module, "ia3_l")}
    assert {name.rpartition(".")[2] for name, module in scaled.items() if module.is_feedforward} == inputs
    assert {name.rpartition(".")[2] for name, module in scaled.items() if not module.is_feedforward} == outputs
    assert all("mlp" in name for name, module in scaled.items() if module.is_feedforward and family == "gpt2")


def test_all_targets_of_ia3_can_be_named(tmp_path: Path) -> None:
    fields = {"target_modules": ["up_proj", "v_proj"], "feedforward_modules": ["up_proj"]}
    assert failed(trial(method("ia3", **fields), "llama", tmp_path).run()) == []
    with pytest.raises(Unsupported, match="finds none of the targets"):
        trial(method("ia3", feedforward_modules=["nothing"]), "llama", tmp_path).run()


def test_norms_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no norm with weights that target_modules"):
        trial(method("layernorm", target_modules=["nothing"]), "llama", tmp_path).run()
