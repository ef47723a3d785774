"""T-Few's losses against a computation by hand, and rows with all answers from the task to the optimizer step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import Unsupported
from harness.methods.tfew import FLOOR, choice_loss
from harness.needs import Machine
from harness.records.schema import CellResult
from harness.runs.cell import run_cell
from harness.runs.events import ResultSoFar
from harness.suite.load import load_suite
from harness.suite.plan import make_plan
from harness.tasks.base import TASKS
from harness.tasks.batches import ChoiceCollator, PaddingCollator
from tests.methods.trials import method, trial

ALL = ("lm", "unlikelihood", "length-normalised")
SUITE = """
name: tfew
models: [{{source: "micro:{model}", dtype: float32}}]
methods: [{{method: ia3, losses: [lm, unlikelihood, length-normalised]}}]
tasks: [{{task: {task}, data: micro, max_eval_samples: 4{fields}}}]
train: {{max_steps: 1, max_length: 24, per_device_train_batch_size: {batch}, logging_steps: 1, learning_rate: 1e-9, gradient_accumulation_steps: {accumulation}}}
"""
MMLU_FIELDS = ", num_fewshot: 0, train_split: dev, max_train_samples: 8"

# Two questions: the first with answers of 2, 1 and 3 tokens (the second is right), the other with 1 and 2 (the first is right).
PROBABILITIES = [[0.5, 0.2], [0.7], [0.1, 0.9, 0.3], [0.4], [0.6, 0.25]]
QUESTION, RIGHT = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([1, 3])


def predictions() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits over 4 tokens and targets of which each has the probability above."""
    logits, targets = torch.zeros(5, 3, 4), torch.full((5, 3), -100)
    for row, answer in enumerate(PROBABILITIES):
        for place, probability in enumerate(answer):
            targets[row, place] = (row + place) % 4
            logits[row, place] = math.log((1 - probability) / 3)
            logits[row, place, (row + place) % 4] = math.log(probability)
    return logits, targets


def by_hand(name: str) -> float:
    if name == "lm":
        return -(math.log(0.7) + math.log(0.4)) / 2
    if name == "unlikelihood":
        wrong = [0.5, 0.2, 0.1, 0.9, 0.3, 0.6, 0.25]
        return -sum(math.log(1 - probability + FLOOR) for probability in wrong) / len(wrong)
    beta = [sum(map(math.log, answer)) / len(answer) for answer in PROBABILITIES]
    first = beta[1] - math.log(sum(map(math.exp, beta[:3])))
    second = beta[3] - math.log(sum(map(math.exp, beta[3:])))
    return -(first + second) / 2


@pytest.mark.parametrize("losses", [*((name,) for name in ALL), ALL], ids=" + ".join)
def test_the_losses_are_the_papers(losses: tuple[Any, ...]) -> None:
    assert float(choice_loss(losses, *predictions(), QUESTION, RIGHT)) == pytest.approx(sum(map(by_hand, losses)), rel=1e-5)


def test_a_wrong_answer_that_is_certain_has_a_finite_gradient() -> None:
    logits = torch.tensor([[[0.0, 0.0]], [[90.0, 0.0]]], requires_grad=True)
    loss = choice_loss(ALL, logits, torch.zeros(2, 1, dtype=torch.long), torch.tensor([0, 0]), torch.tensor([0]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_a_batch_holds_every_answer_and_where_the_right_ones_are() -> None:
    row = {"input_ids": [5, 6], "labels": [-100, 6]}
    questions = [{"choices": [row] * 3, "right": 2}, {"choices": [row | {"input_ids": [5], "labels": [5]}] * 2, "right": 0}]
    batch = ChoiceCollator(PaddingCollator(0))(questions)
    assert batch["input_ids"].tolist() == [[5, 6]] * 3 + [[5, 0]] * 2
    assert batch["labels"].tolist() == [[-100, 6]] * 3 + [[5, -100]] * 2
    assert (batch["question"].tolist(), batch["right"].tolist()) == ([0, 0, 0, 1, 1], [2, 3])


@pytest.mark.parametrize(("name", "family"), [("ia3", "gpt2"), ("lora", "llama"), ("ia3", "t5"), ("lora", "bart")])
def test_they_are_the_same_whichever_model_predicts(name: str, family: str, tmp_path: Path) -> None:
    """One answer at a time through the model alone gives the loss of the batch; and it falls."""
    tried = trial(method(name, losses=ALL), family, tmp_path)
    model = tried.attached().eval()
    rows = [{"input_ids": [11, 12, 13, *answer], "labels": [-100, -100, -100, *answer]} for answer in ([21], [22, 23], [24])]
    inputs = ChoiceCollator(PaddingCollator(0))([{"choices": rows, "right": 1}, {"choices": rows[::-1], "right": 0}])
    likelihoods = []
    for row in rows:
        with torch.no_grad():
            logits = model(**{key: torch.tensor([value]) for key, value in row.items()}).logits[0].log_softmax(-1)
        shift = 0 if family in ("t5", "bart") else 1
        likelihoods.append([float(logits[at - shift, token]) for at, token in enumerate(row["labels"]) if token != -100])
    right = [likelihoods[1], likelihoods[2]]
    wrong = [value for answer in (0, 2, 1, 0) for value in likelihoods[answer]]
    beta = [sum(answer) / len(answer) for answer in likelihoods]
    ranked = 2 * math.log(sum(map(math.exp, beta))) - beta[1] - beta[2]
    told = [value for answer in right for value in answer]
    expected = -sum(told) / len(told) - sum(math.log(1 - math.exp(value) + FLOOR) for value in wrong) / len(wrong) + ranked / 2
    loss = tried.method.loss(model, inputs)
    assert loss is not None
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=3e-3)
    for _ in range(5):
        optimizer.zero_grad()
        tried.method.loss(model, inputs).backward()
        optimizer.step()
    assert tried.method.loss(model, inputs).item() < expected


def test_a_task_without_choices_is_refused_and_the_plain_loss_is_the_models_own() -> None:
    with pytest.raises(Unsupported, match=r"losses: \[lm, unlikelihood, length-normalised\] need rows with all answer choices; glue/sst2 trains on one"):
        method("ia3", losses=ALL).adapted(TASKS.get("glue/sst2")(task="glue/sst2"))
    plain = method("ia3")
    assert not plain.wants_choices
    assert plain.adapted(TASKS.get("glue/sst2")(task="glue/sst2")).task == "glue/sst2"
    assert plain.loss(None, {}) is None


def lived(folder: Path, model: str, batch: int, accumulation: int) -> CellResult:
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(model=model, task="mmlu", fields=MMLU_FIELDS, batch=batch, accumulation=accumulation))
    (cell,) = make_plan(load_suite(suite), Machine()).cells
    events: list[Any] = []
    (folder / "cell").mkdir(exist_ok=True)
    run_cell(cell, folder / "cell", "cpu", events.append, folder / "shared")
    return [event.result for event in events if isinstance(event, ResultSoFar)][-1]


@pytest.mark.parametrize("model", ["decoder", pytest.param("seq2seq", marks=pytest.mark.slow)])
def test_a_cell_trains_on_choices_and_counts_questions(model: str, tmp_path: Path) -> None:
    together, apart = lived(tmp_path, model, 8, 1).training, lived(tmp_path, model, 2, 4).training
    assert together is not None
    assert apart is not None
    assert together.samples == apart.samples == 8
    assert together.tokens == apart.tokens == 8 * 4 * 24, "every answer is read, the prompts cut to max_length"
    assert apart.final_loss == pytest.approx(together.final_loss, rel=1e-3), "a mean over the accumulated batches, not their sum"


def test_the_plan_refuses_what_has_no_choices(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE.format(model="decoder", task="glue/sst2", fields="", batch=1, accumulation=1))
    (cell,) = make_plan(load_suite(suite), Machine()).cells
    assert "need rows with all answer choices; glue/sst2" in str(cell.unsupported)
