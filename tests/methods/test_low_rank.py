"""LoRA and its variants, LoHa, LoKr and VeRA: tried for real on every family, their counts, budgets and refusals."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import peft
import pytest
import torch

from harness.errors import Unsupported
from harness.methods.lora import Lora
from harness.methods.low_rank import factored
from harness.needs import ModelFacts
from harness.quantization.base import SCHEMES
from tests.methods.trials import FAMILIES, failed, method, trial

LLAMA = ModelFacts("llama", "decoder", context=512, hidden_size=128)
NONE, INT8, NF4 = (SCHEMES.get(name)(scheme=name) for name in ("none", "bnb-int8", "bnb-nf4"))
METHODS = {"lora": {"r": 4}, "loha": {"r": 2}, "lokr": {"r": 2}, "vera": {"r": 64}}


CONV1D = [("loha", "gpt2"), ("lokr", "gpt2")]  # torch's Linear only


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", METHODS)
def test_the_formula_counts_what_is_trained_on_every_family(name: str, family: str, tmp_path: Path) -> None:
    tried = trial(method(name, **METHODS[name]), family, tmp_path)
    if (name, family) in CONV1D:
        with pytest.raises(Unsupported, match="cannot wrap gpt2's Conv1D"):
            tried.attached()
        return
    trained = sum(parameter.numel() for parameter in tried.attached().parameters() if parameter.requires_grad)
    assert trained == tried.method.count(tried.attachment.anatomy) + tried.attachment.anatomy.head


@pytest.mark.parametrize(("name", "family"), [*(("lora", family) for family in FAMILIES), ("loha", "roberta"), ("lokr", "glm"), ("vera", "gpt2"), ("vera", "bart")])
def test_every_check_holds(name: str, family: str, tmp_path: Path) -> None:
    assert failed(trial(method(name, **METHODS[name]), family, tmp_path).run()) == []


@pytest.mark.parametrize(("name", "scheme"), [("lora", "bnb-int8"), ("lora", "bnb-nf4"), ("loha", "bnb-int8"), ("vera", "bnb-nf4")])
def test_every_check_holds_on_quantized_weights(name: str, scheme: str, tmp_path: Path) -> None:
    tried = method(name, **METHODS[name])
    assert tried.unsupported(LLAMA, SCHEMES.get(scheme)(scheme=scheme)) is None
    checks = trial(tried, "llama", tmp_path, scheme=scheme).run()
    assert failed(checks) == []
    merges = next(check for check in checks if check.name == "merges")
    assert (merges.passed is None) == (name == "loha"), "LoRA and VeRA are merged into quantized weights"


VARIANTS = [
    ("gpt2", {"use_dora": True}), ("bert", {"init_lora_weights": "pissa_niter_4"}), ("gpt2", {"init_lora_weights": "mica"}),
    ("opt", {"bias": "all"}), ("bert", {"loraplus_lr_ratio": 16.0}), ("llama", {"kasa_config": {}}), ("llama", {"lora_bias": True}),
    ("gpt2", {"trainable_token_indices": [635, 144]}), ("llama", {"layer_replication": [[0, 2], [1, 2]]}), ("gpt2", {"target_modules": ["wte"]}),
]  # fmt: skip
COUNTED = [
    ("gpt2", {"target_modules": "all-linear"}), ("llama", {"init_lora_weights": "olora"}), ("gpt2", {"init_lora_weights": "pissa"}),
    ("opt", {"lora_bias": True}), ("bert", {"bias": "lora_only"}), ("llama", {"rank_pattern": {"q_proj": 2}, "layers_to_transform": [1]}),
    ("llama", {"modules_to_save": ["norm"]}), ("gpt2", {"modules_to_save": ["lm_head"]}), ("llama", {"target_modules": ["q_proj", "embed_tokens"], "use_dora": True}),
    ("llama", {"target_modules": ["q_proj", "o_proj"], "use_bdlora": {"target_modules_bd_a": ["q_proj"], "target_modules_bd_b": ["o_proj"], "nblocks": 2}}),
    ("gpt2", {"trainable_token_indices": {"wte": [1, 2, 3]}}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "fields"), VARIANTS)
def test_variants_of_lora_keep_every_check(family: str, fields: dict, tmp_path: Path) -> None:
    assert failed(trial(method("lora", r=4, **fields), family, tmp_path).run()) == []


@pytest.mark.parametrize(("family", "fields"), COUNTED)
def test_variants_of_lora_are_counted(family: str, fields: dict, tmp_path: Path) -> None:
    tried = trial(method("lora", r=4, **fields), family, tmp_path)
    trained = sum(parameter.numel() for parameter in tried.attached().parameters() if parameter.requires_grad)
    assert trained == tried.method.count(tried.attachment.anatomy) + tried.attachment.anatomy.head


@pytest.mark.parametrize("fields", [{"decompose_both": True}, {"decompose_factor": 4}, {"r": 30}, {"r": 12, "decompose_both": True}])
def test_lokrs_count_follows_its_factorisation(fields: dict, tmp_path: Path) -> None:
    tried = trial(method("lokr", **({"r": 3, "target_modules": "all-linear"} | fields)), "llama", tmp_path)
    model = tried.attached()
    assert tried.method.count(tried.attachment.anatomy) == sum(each.numel() for each in model.parameters() if each.requires_grad)


@pytest.mark.parametrize("factor", [-1, 2, 3, 4, 7, 16, 1000])
@pytest.mark.parametrize("size", [1, 7, 12, 64, 96, 127, 768, 3072])
def test_factors_are_those_of_peft(size: int, factor: int) -> None:
    from peft.tuners.lokr.layer import factorization

    assert factored(size, factor) == factorization(size, factor)


def test_targets_are_exactly_pefts(tmp_path: Path) -> None:
    """Names, endings, regular expressions, exclusions and layers, as PEFT itself would have matched them."""
    for fields in (
        {"target_modules": ["q_proj", "mlp.down_proj"]}, {"target_modules": r".*\.1\..*_proj", "exclude_modules": ["v_proj"]},
        {"target_modules": "all-linear"}, {"target_modules": ["v_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
    ):  # fmt: skip
        tried = trial(method("lora", r=4, **fields), "llama", tmp_path)
        by_peft = peft.get_peft_model(tried.load(), peft.LoraConfig(task_type="CAUSAL_LM", r=4, **fields))
        assert _wrapped(tried.attached()) == _wrapped(by_peft), fields


def _wrapped(model: torch.nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if hasattr(module, "lora_A")}


@pytest.mark.parametrize(("name", "family"), [("lora", "gpt2"), ("adalora", "gpt2"), ("vera", "gpt2"), ("ia3", "gpt2"), ("lora", "bert")])
def test_how_weights_are_stored_is_told_so_that_peft_need_not_warn(name: str, family: str, tmp_path: Path) -> None:
    tried = trial(method(name), family, tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*fan_in_fan_out.*")
        tried.attached()


def test_lora_plus_gives_b_its_own_learning_rate(tmp_path: Path) -> None:
    tried = trial(method("lora", r=4, loraplus_lr_ratio=16.0), "bert", tmp_path)
    model = tried.attached()
    groups = tried.method.parameter_groups(model, 1e-3, 0.1)
    assert groups is not None
    rates = {id(parameter): (group["lr"], group["weight_decay"]) for group in groups for parameter in group["params"]}
    tuned = {name: rates.pop(id(parameter)) for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert rates == {}
    assert {rate for name, rate in tuned.items() if ".lora_B." in name} == {(1.6e-2, 0.1)}
    assert {rate for name, rate in tuned.items() if ".lora_A." in name} == {(1e-3, 0.1)}
    assert {rate for name, rate in tuned.items() if name.endswith("bias")} == {(1e-3, 0.0)}


def test_packed_weights_are_refused_where_peft_takes_their_stored_shape() -> None:
    for name in ("loha", "lokr"):
        assert "packs them" in str(method(name).unsupported(LLAMA, NF4))
        assert method(name).unsupported(LLAMA, INT8) is None


@pytest.mark.parametrize(("name", "wanted"), [("lora", 1500), ("loha", 1500), ("lokr", 300), ("vera", 801)])
def test_a_budget_finds_the_nearest_rank(name: str, wanted: int, tmp_path: Path) -> None:
    tried = trial(method(name, budget={"trainable_parameters": wanted}), "llama", tmp_path)
    count = tried.method.count(tried.attachment.anatomy)
    others = [tried.method.with_size(tried.method.r + step) for step in (-1, 1) if tried.method.r + step >= 1]
    assert all(abs(count - wanted) <= abs(other.count(tried.attachment.anatomy) - wanted) for other in others)


def test_a_budget_that_no_rank_reaches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"out of reach: r 1 to 32 gives"):
        trial(method("lora", budget={"trainable_parameters": "3m"}), "llama", tmp_path)


def test_a_rank_larger_than_the_matrix_is_refused(tmp_path: Path) -> None:
    for name in ("lora", "loha", "lokr"):
        assert "rank 256 is larger" in str(method(name, r=256).unsupported(LLAMA, NONE))
        with pytest.raises(Unsupported, match=r"rank 40 is larger than the matrix model.layers.0.self_attn.v_proj \(32 x 64\)"):
            trial(method(name, r=40), "llama", tmp_path).run()
    assert method("vera", r=256).unsupported(LLAMA, NONE) is None, "its projections are not tuned"


@pytest.mark.parametrize(
    ("fields", "facts", "scheme", "reason"),
    [
        ({"init_lora_weights": "eva"}, LLAMA, NONE, "pass over data"),
        ({"init_lora_weights": "pissa_niter_4"}, LLAMA, NF4, "full-precision weights"),
        ({"init_lora_weights": "loftq"}, LLAMA, NONE, "needs loftq_config"),
        ({"init_lora_weights": "mica", "loraplus_lr_ratio": 4.0}, LLAMA, NONE, "mica freezes"),
        ({"init_lora_weights": "olora"}, ModelFacts("gpt2", "decoder"), NONE, "wrong way round"),
        ({"use_qalora": True}, LLAMA, NONE, "GPTQ"),
        ({"alora_invocation_tokens": [5]}, ModelFacts("bert", "encoder"), NONE, "for decoders"),
    ],
)
def test_what_lora_cannot_do_is_refused_by_the_plan(fields: dict, facts: ModelFacts, scheme, reason: str) -> None:
    assert reason in str(method("lora", **fields).unsupported(facts, scheme))


def test_loftq_without_cuda_is_refused(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is CUDA")
    with pytest.raises(Unsupported, match="CUDA"):
        trial(method("lora", init_lora_weights="loftq", loftq_config={"loftq_bits": 4}), "bert", tmp_path).run()


def test_lora_has_every_field_of_the_installed_loraconfig() -> None:
    from harness.methods.peft_fields import DECIDED_BY_THE_HARNESS

    fields = {field.name for field in dataclasses.fields(peft.LoraConfig)} - set(DECIDED_BY_THE_HARNESS)
    assert fields == set(Lora.model_fields) - {"method", "budget", "loraplus_lr_ratio", "losses"}
