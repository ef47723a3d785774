"""AdaLoRA: its schedule in the cell's steps, ranks read from the real masks, and its regularisation in the trained loss."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from harness.errors import Unsupported
from harness.methods.adalora import AdaLora
from harness.needs import Machine, ModelFacts
from harness.quantization.base import SCHEMES
from harness.runs.cell import run_cell
from harness.runs.events import Event, ResultSoFar
from harness.suite.load import load_suite
from harness.suite.plan import make_plan
from tests.methods.trials import FAMILIES, failed, method, trial

SUITE = """
name: ranks
models: [{{source: "micro:encoder", dtype: float32}}]
methods: [{{method: adalora, target_r: 2, orth_reg_weight: {weight}}}]
tasks: [{{task: glue/sst2, data: micro, max_eval_samples: 8}}]
train: {{max_steps: 8, max_length: 32, per_device_train_batch_size: 4, logging_steps: 1, learning_rate: 0.001}}
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_every_check_holds_on_every_family(family: str, tmp_path: Path) -> None:
    assert failed(trial(method("adalora", target_r=2), family, tmp_path).run()) == []


@pytest.mark.parametrize("scheme", ["bnb-int8", "bnb-nf4"])
def test_every_check_holds_on_quantized_weights(scheme: str, tmp_path: Path) -> None:
    checks = trial(method("adalora", target_r=2), "llama", tmp_path, scheme=scheme).run()
    assert failed(checks) == []
    assert next(check for check in checks if check.name == "merges").passed is None, "PEFT has no code for it"


def test_the_ranks_are_those_of_the_real_masks_and_spend_the_budget(tmp_path: Path) -> None:
    tried = trial(method("adalora", target_r=2), "llama", tmp_path)
    model = tried._tuned(1e-2).model
    ranks = tried.method.rank_allocation(model)
    assert ranks is not None
    real = {
        name.removeprefix("base_model.model.").partition(".lora_E")[0]: int((parameter != 0).sum())
        for name, parameter in model.named_parameters() if "lora_E" in name
    }  # fmt: skip
    assert ranks == real
    matrices = [module.name for module in tried.attachment.anatomy.matrices()]
    assert sorted(ranks) == sorted(matrices)
    assert sum(ranks.values()) == 2 * len(matrices)
    assert len(set(ranks.values())) > 1, "ranks were shared out"
    tried.method.save(model, tmp_path / "saved")
    assert tried.method.rank_allocation(model) == ranks, "saving renames PEFT's own masks"


def run(weight: float, folder: Path):
    """(result, first loss) of a cell with that orthogonality term."""
    folder.mkdir()
    (folder / "suite.yaml").write_text(SUITE.format(weight=weight))
    (cell,) = make_plan(load_suite(folder / "suite.yaml"), Machine()).cells
    events: list[Event] = []
    (folder / "cell").mkdir()
    run_cell(cell, folder / "cell", "cpu", events.append, folder / "shared")
    result = [event.result for event in events if isinstance(event, ResultSoFar)][-1]
    return result, float((folder / "cell" / "training.jsonl").read_text().split('"loss": ')[1].split(",")[0])


def test_a_real_cell_follows_the_schedule_and_trains_on_the_regularised_loss(tmp_path: Path) -> None:
    result, with_term = run(0.5, tmp_path / "with")
    ranks = result.training.rank_allocation
    assert sum(ranks.values()) == 2 * len(ranks)
    _, without = run(0.0, tmp_path / "without")
    # P and Q start near zero (std 0.02), so |P^T P - I| is near |I|, the square root of init_r 3
    assert with_term - without == pytest.approx(0.5 * 3**0.5, rel=0.05)


@pytest.mark.parametrize(("steps", "fields", "schedule"), [(100, {}, (15, 50)), (1000, {"tinit": 80, "tfinal": 0.3}, (80, 300)), (2, {"tfinal": 0}, (0, 0))])
def test_the_schedule_takes_steps_or_shares_of_them(steps: int, fields: dict, schedule: tuple[int, int]) -> None:
    tuner = method("adalora", **fields)
    assert isinstance(tuner, AdaLora)
    assert tuner.schedule(steps) == schedule


@pytest.mark.parametrize(("steps", "fields"), [(1, {}), (3, {}), (50, {"tinit": 30, "tfinal": 20}), (10, {"tinit": 0.9})])
def test_too_few_steps_for_the_schedule_are_refused(steps: int, fields: dict, tmp_path: Path) -> None:
    tried = trial(method("adalora", target_r=2, **fields), "bert", tmp_path, steps=steps)
    with pytest.raises(Unsupported, match=f"and {steps} training steps leave too few in between"):
        tried.run()


def test_the_initial_rank_follows_the_target_and_must_be_larger(tmp_path: Path) -> None:
    assert (method("adalora", target_r=8).rank, method("adalora", target_r=1).rank) == (12, 2)
    with pytest.raises(ValidationError, match="init_r 8 has to be larger than target_r 8"):
        method("adalora", init_r=8)
    with pytest.raises(ValidationError, match="leave init_r out"):
        method("adalora", init_r=8, budget={"trainable_parameters": "10k"})
    tried = trial(method("adalora", budget={"trainable_parameters": "10k"}), "llama", tmp_path)
    assert tried.method.rank == -(-3 * tried.method.target_r // 2)
    facts = ModelFacts("llama", "decoder", hidden_size=128)
    assert "rank 150 is larger" in str(method("adalora", target_r=100).unsupported(facts, SCHEMES.get("none")(scheme="none")))
    with pytest.raises(Unsupported, match="init_r 36 is larger than the matrix"):
        trial(method("adalora", target_r=24), "llama", tmp_path).run()


def test_a_step_without_gradients_to_score_leaves_the_ranks_alone(tmp_path: Path) -> None:
    tried = trial(method("adalora", target_r=2), "bert", tmp_path)
    model = tried.attached()
    assert tried.method.rank_allocation(model) is None
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    tried.method.after_step(model, 1)
    assert tried.method.rank_allocation(model) is None
