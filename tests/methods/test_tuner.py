"""Our PEFT tuner under PEFT's own calls: names, saving, several adapters, turning off, dtypes, opaque modules."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from harness.errors import Unsupported
from harness.methods.tuners import config_kind
from tests.methods.trials import method, trial

PeltConfig = config_kind("PeltConfig")
LAYER = "model.layers.0"
PARALLEL = {"adapter_modules": [f"{LAYER}.mlp.down_proj"], "adapter_inputs": [f"{LAYER}.mlp.up_proj"], "bottleneck": 8}
SEQUENTIAL = {"adapter_modules": [f"{LAYER}.self_attn.o_proj", f"{LAYER}.mlp.down_proj"], "bottleneck": 8, "adapter_init": "bert"}
NORMS = {"norm_modules": [f"{LAYER}.input_layernorm", "model.norm"]}
SHARED = SEQUENTIAL | {"hypercomplex_division": 4}
PREFIX = {"prefix_modules": [f"{LAYER}.self_attn"], "prefix_widths": [32], "prefix_length": 4}
IDS = torch.arange(5, 17)[None]


@pytest.fixture
def base(tmp_path: Path) -> nn.Module:
    return trial(method("none"), "llama", tmp_path).load()


def logits(model: nn.Module) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(input_ids=IDS).logits


def shaken(model: Any) -> Any:
    """The model with what is trainable moved away from its initial values."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def tuned(model: nn.Module, adapter_name: str = "default", **fields: Any) -> Any:
    return shaken(peft.get_peft_model(model, PeltConfig(task_type="CAUSAL_LM", **fields), adapter_name))


def test_registering_twice_is_registering_once_and_pefts_own_classes_stay() -> None:
    assert config_kind("PeltConfig") is PeltConfig
    assert config_kind("LoraConfig") is peft.LoraConfig
    with pytest.raises(Unsupported, match="has no NoSuchConfig"):
        config_kind("NoSuchConfig")


@pytest.mark.parametrize("fields", [PARALLEL, SEQUENTIAL, NORMS, SHARED, PREFIX], ids=["parallel", "sequential", "norms", "shared", "prefix"])
def test_what_is_saved_loads_under_any_name_and_turns_off(fields: dict, base: nn.Module, tmp_path: Path) -> None:
    untuned, fresh = logits(base), copy.deepcopy(base)
    model = tuned(base, **fields)
    expected = logits(model)
    assert not torch.allclose(expected, untuned, atol=1e-3)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert not [name for name in saved if "default" in name]
    assert sum(tensor.numel() for tensor in saved.values()) == model.get_nb_trainable_parameters()[0]
    again = peft.PeftModel.from_pretrained(fresh, str(tmp_path), adapter_name="other")
    assert torch.equal(logits(again), expected)
    assert not any(parameter.requires_grad for parameter in again.parameters())
    with again.disable_adapter():
        assert torch.equal(logits(again), untuned)


@pytest.mark.parametrize(
    ("fields", "others"),
    [(PARALLEL, SEQUENTIAL), (SHARED | NORMS, SEQUENTIAL), (PREFIX, PREFIX)],
    ids=["parallel", "shared", "prefix"],
)
def test_of_two_adapters_the_active_one_answers_and_trains(fields: dict, others: dict, base: nn.Module) -> None:
    untuned = logits(base)
    model = tuned(base, **fields)
    first = logits(model)
    model.add_adapter("second", PeltConfig(task_type="CAUSAL_LM", **others))
    assert torch.equal(logits(model), first)
    model.set_adapter("second")
    assert all(".second" in name for name, parameter in shaken(model).named_parameters() if parameter.requires_grad)
    second = logits(model)
    assert not torch.allclose(first, second, atol=1e-3)
    assert not torch.allclose(untuned, second, atol=1e-3)
    model.set_adapter("default")
    assert torch.equal(logits(model), first)
    model.delete_adapter("default")
    assert torch.equal(logits(model), second)
    assert not [name for name, _ in model.named_parameters() if ".default" in name]


def test_a_copy_of_a_tuned_model_is_a_model_of_its_own(base: nn.Module) -> None:
    model = tuned(base, **(SHARED | NORMS))
    expected = logits(model)
    other = shaken(copy.deepcopy(model))
    assert not torch.allclose(logits(other), expected, atol=1e-3)
    assert torch.equal(logits(model), expected)


def test_unloading_gives_the_base_back_and_merging_is_refused(base: nn.Module) -> None:
    names, untuned = [name for name, _ in base.named_parameters()], logits(base)
    model = tuned(base, **(PARALLEL | NORMS))
    with pytest.raises(NotImplementedError, match="cannot be merged"):
        model.merge_and_unload()
    unloaded = model.unload()
    assert [name for name, _ in unloaded.named_parameters()] == names
    assert torch.equal(logits(unloaded), untuned)


def test_over_a_bf16_base_parts_are_fp32_and_outputs_stay_bf16(base: nn.Module) -> None:
    untuned = logits(base.to(torch.bfloat16))
    model = tuned(base, **(SHARED | NORMS))
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}
    assert logits(model).dtype == torch.bfloat16
    with model.disable_adapter():
        assert torch.equal(logits(model), untuned)
    with torch.autocast("cpu", torch.bfloat16):
        model(input_ids=IDS, labels=IDS).loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.requires_grad)


class Packed(nn.Module):
    """A linear whose weight is packed integers, as GPTQ stores it: no `weight` to look at."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = float(linear.weight.detach().abs().max()) / 127
        self.register_buffer("qweight", (linear.weight / self.scale).round().to(torch.int8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.qweight.to(x.dtype) * self.scale)


@pytest.mark.parametrize("fields", [PARALLEL, SEQUENTIAL], ids=["parallel", "sequential"])
def test_packed_linears_are_never_looked_into(fields: dict, base: nn.Module) -> None:
    for name in ("down_proj", "up_proj"):
        setattr(base.model.layers[0].mlp, name, Packed(getattr(base.model.layers[0].mlp, name)))
    untuned = logits(base)
    model = tuned(base, **fields)
    model(input_ids=IDS, labels=IDS).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    assert torch.equal(logits(model.unload()), untuned)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_no_block_input_outlives_its_forward_pass(checkpointing: bool, base: nn.Module) -> None:
    model = tuned(base, **PARALLEL)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    loss = model(input_ids=IDS, labels=IDS).loss
    wire = model.get_submodule(f"base_model.model.{LAYER}.mlp.down_proj").pelt_wires["default"]
    assert wire.value is None
    loss.backward()
    assert wire.value is None


def test_names_are_whole_names(base: nn.Module) -> None:
    model = tuned(base, norm_modules=["model.norm"])
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == ["base_model.model.model.norm.pelt_norm.default.weight"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"norm_modules": ["model.normm"]}, "no module model.normm"),
        ({"adapter_modules": ["model.norm"]}, "neither in_features"),
    ],
)
def test_a_module_that_cannot_take_its_part_is_refused(fields: dict, told: str, base: nn.Module) -> None:
    with pytest.raises(ValueError, match=told):
        peft.get_peft_model(base, PeltConfig(task_type="CAUSAL_LM", **fields))


def test_a_module_has_one_part_and_adapters_pair_with_inputs() -> None:
    with pytest.raises(ValueError, match="one part only"):
        PeltConfig(adapter_modules=["a"], norm_modules=["a"])
    with pytest.raises(ValueError, match="pair one to one"):
        PeltConfig(adapter_modules=["a", "b"], adapter_inputs=["c"])


def test_a_module_cannot_change_its_part_with_the_adapter(base: nn.Module) -> None:
    model = tuned(base, **PARALLEL)
    with pytest.raises(ValueError, match="cannot be a AdapterLayer as well"):
        model.add_adapter("second", PeltConfig(task_type="CAUSAL_LM", adapter_modules=PARALLEL["adapter_inputs"]))


def test_a_hypercomplex_matrix_is_a_sum_of_kronecker_products() -> None:
    from harness.methods.tuners.bottleneck import KroneckerLinear, SharedRule

    rule = nn.ParameterDict({"default": nn.Parameter(torch.randn(4, 4, 4))})
    layer = KroneckerLinear(64, 8, 2, SharedRule(rule, "default"))
    weight = sum(torch.kron(rule["default"][i], layer.left[i] @ layer.right[i]) for i in range(4))
    x = torch.randn(3, 5, 64)
    assert torch.allclose(layer(x), x @ weight, atol=1e-5)
    assert [name for name, _ in layer.named_parameters()] == ["left", "right", "bias"]
