"""Budgets: the nearest size is found, what no size reaches is refused, and the words say what was chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.errors import Unsupported
from harness.methods.base import METHODS
from harness.methods.budget import Budget, nearest_size
from harness.models.anatomy import Anatomy, Module

BODY = Anatomy(
    "llama", "decoder", hidden_size=64, layers=1, total=1_000_000, head=500, biases=0, output="lm_head",
    modules=(
        Module("model.layers.0.self_attn.q_proj", "linear", 64, 64, part="query", layer=0),
        Module("model.layers.0.self_attn.v_proj", "linear", 64, 32, part="value", layer=0),
        Module("score", "linear", 64, 2, in_head=True),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), [("300k", 300_000), ("1.5M", 1_500_000), ("2b", 2_000_000_000), (300, 300), ("300", 300)])
def test_budgets_are_written_as_papers_write_them(written: object, meant: int) -> None:
    assert Budget.model_validate({"trainable_parameters": written}).trainable_parameters == meant


@pytest.mark.parametrize("values", [{}, {"trainable_parameters": 3, "percent": 1}, {"trainable_parameters": "300q"}, {"percent": 0}, {"percent": 101}])
def test_a_budget_is_one_positive_number(values: dict) -> None:
    with pytest.raises(ValidationError):
        Budget.model_validate(values)


@given(st.integers(1, 500), st.integers(0, 300), st.integers(1, 400), st.integers(1, 200_000))
def test_no_other_size_comes_nearer(slope: int, fixed: int, largest: int, wanted: int) -> None:
    budget = Budget(trainable_parameters=wanted, tolerance_percent=1e12)
    chosen = nearest_size(budget, BODY, "r", largest, lambda size: fixed + slope * size)
    distances = {size: abs(fixed + slope * size - wanted) for size in range(1, largest + 1)}
    assert distances[chosen.size] == min(distances.values())
    assert chosen.size == min(size for size, distance in distances.items() if distance == distances[chosen.size])


def test_percent_is_of_the_whole_model() -> None:
    assert Budget(percent=0.5).parameters(BODY) == 5_000


def test_a_budget_solves_the_rank_of_lora() -> None:
    method = METHODS.get("lora").model_validate({"method": "lora", "budget": {"trainable_parameters": 900}})
    solved, chosen = method.solved(BODY)
    assert chosen is not None
    assert (solved.r, solved.budget) == (4, None)
    assert chosen.parameters == 4 * (128 + 96) == solved.count(BODY)
    assert str(chosen) == "r 4 gives 896 parameters, -0.4 % off the budget of 900"


@pytest.mark.parametrize("wanted", [30, 100_000_000])
def test_a_budget_that_no_size_reaches_is_refused_with_what_sizes_give(wanted: int) -> None:
    method = METHODS.get("lora").model_validate({"method": "lora", "budget": {"trainable_parameters": wanted}})
    with pytest.raises(Unsupported, match=r"out of reach: r 1 to \d+ gives 224 to [\d,]+, the nearest is"):
        method.solved(BODY)


def test_size_and_budget_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="give r or a budget that chooses it, not both"):
        METHODS.get("lora").model_validate({"method": "lora", "r": 4, "budget": {"percent": 1}})


@pytest.mark.parametrize("name", [name for name, cls in METHODS.items() if hasattr(cls, "knob")])
def test_every_sized_method_never_shrinks_as_its_size_grows(name: str) -> None:
    """The search relies on it."""
    cls = METHODS.get(name)
    method = cls.model_validate({"method": name})
    body = replace(BODY, modules=(*BODY.modules, *_further()))
    counts = [method.with_size(size).count(body) for size in range(1, min(method.largest(body), 40) + 1)]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0] or len(counts) == 1


def _further() -> tuple[Module, ...]:
    """The other parts of a layer, and a norm."""
    layer = "model.layers.0"
    return (
        Module(f"{layer}.self_attn.k_proj", "linear", 64, 32, part="key", layer=0),
        Module(f"{layer}.self_attn.o_proj", "linear", 64, 64, part="attention_out", layer=0),
        Module(f"{layer}.mlp.gate_proj", "linear", 64, 128, part="ffn_gate", layer=0),
        Module(f"{layer}.mlp.up_proj", "linear", 64, 128, part="ffn_in", layer=0),
        Module(f"{layer}.mlp.down_proj", "linear", 128, 64, part="ffn_out", layer=0),
        Module("model.embed_tokens", "embedding", 1800, 64),
        Module(f"{layer}.input_layernorm", "norm", 64, 64, layer=0),
    )
