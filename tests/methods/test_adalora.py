"""AdaLoRA: its schedule in the cell's steps, ranks read from the real masks, and its regularisation in the trained loss."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from harness.errors import Unsupported
from harness.measure.clock import StepClock
from harness.methods.adalora import AdaLora
from harness.needs import Machine, ModelFacts
from harness.quantization.base import SCHEMES
from harness.runs.cell import run_cell
from harness.runs.events import Event, ResultSoFar
from harness.runs.phases.trainer import MeasuredTrainer, Watch, training_arguments
from harness.suite.load import load_suite
from harness.suite.plan import make_plan
from harness.suite.settings import TrainSettings
from harness.tasks.base import TrainingSet
from tests.methods.trials import FAMILIES, failed, method, trial

SUITE = """
name: ranks
models: [{source: "micro:encoder", dtype: float32}]
methods: [{method: adalora, target_r: 2}]
tasks: [{task: glue/sst2, data: micro, max_eval_samples: 8}]
train: {max_steps: 8, max_length: 32, per_device_train_batch_size: 4, learning_rate: 0.001}
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_the_formula_counts_what_is_trained_on_every_family(family: str, tmp_path: Path) -> None:
    tried = trial(method("adalora", target_r=2), family, tmp_path)
    trained = sum(parameter.numel() for parameter in tried.attached().parameters() if parameter.requires_grad)
    assert trained == tried.method.count(tried.attachment.anatomy) + tried.attachment.anatomy.head


@pytest.mark.parametrize("family", ["roberta", "gpt2", "glm"])
def test_every_check_holds(family: str, tmp_path: Path) -> None:
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


def test_a_real_cell_follows_the_schedule(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    (cell,) = make_plan(load_suite(tmp_path / "suite.yaml"), Machine()).cells
    events: list[Event] = []
    (tmp_path / "cell").mkdir()
    run_cell(cell, tmp_path / "cell", "cpu", events.append, tmp_path / "shared")
    training = [event.result for event in events if isinstance(event, ResultSoFar)][-1].training
    assert training is not None
    assert training.rank_allocation is not None
    assert sum(training.rank_allocation.values()) == 2 * len(training.rank_allocation)


def test_the_orthogonality_term_is_in_the_loss_that_the_trainer_minimises(tmp_path: Path) -> None:
    tried = trial(method("adalora", target_r=2, orth_reg_weight=0.5), "bert", tmp_path)
    model = tried.attached()
    watch = Watch(StepClock("cpu", 0), lambda done, total: None, tmp_path / "losses.jsonl")
    arguments = training_arguments(TrainSettings(max_steps=1), 0, tmp_path, "cpu")
    trainer = MeasuredTrainer(model, arguments, TrainingSet([], lambda rows: {}), watch, tried.method, tried.attachment.head)
    model.eval()
    minimised = float(trainer.compute_loss(model, dict(tried.batch)))
    plain = float(torch.nn.functional.cross_entropy(tried.logits(model), tried.batch["labels"]))
    grams = [
        parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
        for name, parameter in model.named_parameters() if "lora_A" in name or "lora_B" in name
    ]  # fmt: skip
    term = sum(float((gram - torch.eye(len(gram))).norm()) for gram in grams) / len(grams)
    assert minimised - plain == pytest.approx(0.5 * term, rel=1e-4)


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
    left = tried.method.target_r * tried.method.count(tried.attachment.anatomy) / tried.method.rank
    assert abs(left - 10_000) <= 2_500, "a budget counts what is left after training, as the paper's tables do"
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
