"""Budgets in a plan: sizes are chosen per model and said, and a budget out of reach is a reason, not a crash."""

from __future__ import annotations

import pytest
from suites_for_tests import Planned, Problems

from harness.suite.plan import Plan

MODELS = "[random:tiny-llama, random:tiny-gpt2]"
BUDGETED = "{id: lora, method: lora, target_modules: all-linear, budget: {percent: 2}}"


def test_each_model_gets_its_own_size_and_the_plan_says_it(plan: Planned) -> None:
    planned: Plan = plan(models=MODELS, methods=f"[none, {BUDGETED}]")
    chosen = {cell.labels.model: cell.chosen for cell in planned.cells if cell.labels.method == "lora"}
    assert all(size is not None and abs(size.parameters - size.wanted) <= 0.25 * size.wanted for size in chosen.values())
    assert {size.wanted for size in chosen.values() if size} == {6089, 3973}
    assert [line.partition(" gives")[0] for line in planned.sizes] == [
        f"{model} / lora: r {size.size}" for model, size in chosen.items() if size is not None
    ]
    assert all(cell.chosen is None for cell in planned.cells if cell.labels.method == "none")


def test_a_budget_out_of_reach_is_the_reason_of_its_cells(plan: Planned) -> None:
    planned: Plan = plan(models=MODELS, methods="[{id: lora, method: lora, budget: {trainable_parameters: 3}}]")
    assert len(planned.unsupported) == len(planned.cells) == 2
    assert all("out of reach: r 1 to " in str(cell.unsupported) for cell in planned.cells)


def test_a_budget_is_part_of_the_cells_identity(plan: Planned) -> None:
    ids = {
        plan(models="[random:tiny-llama]", methods=f"[{{id: lora, method: lora, budget: {{percent: {percent}}}}}]").cells[0].id
        for percent in (1, 2)
    }
    assert len(ids) == 2


def test_a_budget_and_the_size_it_would_choose_are_refused_with_their_place(problems: Problems) -> None:
    (said,) = problems(methods="[{id: lora, method: lora, r: 4, budget: {percent: 1}}]")
    assert "methods[0]" in said
    assert "give r or a budget that chooses it, not both" in said


def test_models_that_are_not_downloaded_are_sized_by_their_cells(plan: Planned) -> None:
    (cell,) = plan(models="[hub:nobody/nothing]", methods=f"[{BUDGETED}]").cells
    assert (cell.chosen, cell.unsupported) == (None, None)


@pytest.mark.parametrize(
    ("model", "method", "said"),
    [
        ("tiny-llama", "bitfit", "bitfit tunes biases; this llama model has none"),
        ("tiny-llama", "{id: l, method: lora, r: 48, target_modules: [k_proj]}", "rank 48 is larger than the matrix model.layers.0.self_attn.k_proj (32 x 64)"),
        ("tiny-gpt2", "{id: l, method: lora, target_modules: [q_proj]}", "finds no matrix in a gpt2 model"),
        ("tiny-llama", "{id: h, method: houlsby, bottleneck: 65}", "bottleneck 65 is larger than the model's hidden size 64"),
        ("tiny-gpt2", "{id: p, method: prompt-tuning, num_virtual_tokens: 256}", "leaves nothing of the model's context of 256"),
        ("tiny-bloom", "prefix-tuning", "bloom"),
        ("tiny-llama", "{id: t, method: top-k, k: 3}", "k 3 is more than the model's 2 layers"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_models_sizes_is_refused_by_the_plan(plan: Planned, model: str, method: str, said: str) -> None:
    (cell,) = plan(models=f"[random:{model}]", methods=f"[{method}]").cells
    assert said in str(cell.unsupported)


def test_a_budget_without_a_formula_is_refused_with_a_sentence(plan: Planned) -> None:
    (cell,) = plan(models="[random:tiny-llama]", methods="[{id: l, method: lora, target_parameters: [x], budget: {percent: 1}}]").cells
    assert "no budget can choose its size" in str(cell.unsupported)
